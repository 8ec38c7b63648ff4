//! The observer's log: a second access log of NGINX, which tests join to a client by its port.
//!
//! The format that NGINX is given and the reader of its lines stand side by side here.

use serde::Deserialize;

/// NGINX's `log_format observer`. `escape=json` writes a variable that is not set as "".
pub(crate) const FORMAT: &str = concat!(
    r#"{"msec":$msec,"remote_addr":"$remote_addr","remote_port":$remote_port,"#,
    r#""connection":$connection,"connection_requests":$connection_requests,"#,
    r#""host":"$host","method":"$request_method","uri":"$request_uri","#,
    r#""status":"$status","bytes_sent":$bytes_sent,"body_bytes_sent":$body_bytes_sent,"#,
    r#""request_length":$request_length,"request_time":$request_time,"#,
    r#""content_length":"$sent_http_content_length","#,
    r#""request_completion":"$request_completion","#,
    r#""upstream_name":"$proxy_upstream_name","#,
    r#""alternative_upstream_name":"$proxy_alternative_upstream_name","#,
    r#""upstream_addr":"$upstream_addr","#,
    r#""upstream_status":"$upstream_status","upstream_bytes_received":"$upstream_bytes_received","#,
    r#""upstream_response_time":"$upstream_response_time","#,
    r#""request_id":"$req_id","user_agent":"$http_user_agent"}"#,
);

/// One line: one request, written when it ended.
#[derive(Clone, Debug, PartialEq, Deserialize)]
#[non_exhaustive]
pub struct Observed {
    /// When the line was written: seconds since 1970, to the millisecond.
    pub msec: f64,
    /// The client's address.
    pub remote_addr: String,
    /// The client's port.
    pub remote_port: u16,
    /// NGINX's number of the connection. It begins anew with each reload.
    pub connection: u64,
    /// Which request on this connection it was, from 1.
    pub connection_requests: u64,
    /// The host that was asked for.
    pub host: String,
    /// The method; empty where no request line was read.
    pub method: String,
    /// The target, as the client wrote it.
    pub uri: String,
    /// Three digits: what the client was told, 499 where it left first, 000 where nothing was said.
    pub status: String,
    /// Bytes written to the client, head included.
    pub bytes_sent: u64,
    /// Bytes of the body written to the client.
    pub body_bytes_sent: u64,
    /// Bytes read from the client, head included.
    pub request_length: u64,
    /// Seconds from the first byte read to the log, to the millisecond.
    pub request_time: f64,
    /// The `Content-Length` that the client was told; empty where there was none.
    pub content_length: String,
    /// `OK` or empty. **Not** whether the answer is whole: NGINX 1.22 says `OK` also of an answer
    /// that its endpoint broke off (run: `tests/nginx/traffic.rs`). Compare bytes, or packets.
    pub request_completion: String,
    /// `NAMESPACE-SERVICE-PORT` of the main Ingress, also where a canary served.
    pub upstream_name: String,
    /// The same of the canary where it served; else empty. [`Observed::served_by`] is one of the two.
    pub alternative_upstream_name: String,
    /// See [`Observed::attempts`].
    pub upstream_addr: String,
    /// See [`Observed::attempts`].
    pub upstream_status: String,
    /// Bytes received per attempt.
    pub upstream_bytes_received: String,
    /// Seconds per attempt.
    pub upstream_response_time: String,
    /// What `X-Request-ID` told the endpoint.
    pub request_id: String,
    /// The client's `User-Agent`.
    pub user_agent: String,
}

/// One try at one endpoint.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Attempt {
    /// `ADDRESS:PORT`, or the name of the upstream where none was left to try.
    pub address: String,
    /// Three digits: the endpoint's, or 502 and 504 where NGINX got no answer; `-` where it was
    /// left before it answered.
    pub status: String,
}

impl Observed {
    /// Reads one line.
    ///
    /// # Errors
    ///
    /// When it is not a whole line of [the format](FORMAT).
    pub fn parse(line: &str) -> Result<Observed, serde_json::Error> {
        serde_json::from_str(line)
    }

    /// The upstream whose endpoints were tried, `NAMESPACE-SERVICE-PORT`.
    pub fn served_by(&self) -> &str {
        if self.alternative_upstream_name.is_empty() {
            &self.upstream_name
        } else {
            &self.alternative_upstream_name
        }
    }

    /// The tries in their order. NGINX separates them by `, ` (ngx_http_upstream_module,
    /// `$upstream_addr`); nothing here redirects internally, which would be ` : `.
    pub fn attempts(&self) -> Vec<Attempt> {
        let parts = |text: &str| -> Vec<String> {
            let all = text.split(", ").filter(|part| !part.is_empty());
            all.map(str::to_owned).collect()
        };
        let statuses = parts(&self.upstream_status);
        let addresses = parts(&self.upstream_addr).into_iter();
        addresses
            .enumerate()
            .map(|(index, address)| Attempt {
                address,
                status: statuses.get(index).cloned().unwrap_or("-".to_owned()),
            })
            .collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// NGINX 1.22 wrote it, one of two endpoints not listening.
    const LINE: &str = r#"{"msec":1764045851.412,"remote_addr":"10.200.0.1","remote_port":50636,"connection":3,"connection_requests":1,"host":"llm.example","method":"GET","uri":"/v1/models","status":"200","bytes_sent":170,"body_bytes_sent":2,"request_length":84,"request_time":0.002,"content_length":"2","request_completion":"OK","upstream_name":"models-llama-80","alternative_upstream_name":"","upstream_addr":"10.200.0.1:9001, 10.200.0.1:9002","upstream_status":"502, 200","upstream_bytes_received":"0, 137","upstream_response_time":"0.000, 0.002","request_id":"f00","user_agent":"curl/7.88.1"}"#;

    #[test]
    fn a_retried_request_shows_its_attempts_in_order() {
        let line = Observed::parse(LINE).unwrap();
        let attempt = |address: &str, status: &str| Attempt {
            address: address.to_owned(),
            status: status.to_owned(),
        };
        assert_eq!(
            line.attempts(),
            [
                attempt("10.200.0.1:9001", "502"),
                attempt("10.200.0.1:9002", "200")
            ]
        );
    }

    #[test]
    fn an_answer_of_nginx_itself_has_no_attempts() {
        let own = LINE
            .replace("10.200.0.1:9001, 10.200.0.1:9002", "")
            .replace("502, 200", "");
        assert!(Observed::parse(&own).unwrap().attempts().is_empty());
    }

    #[test]
    fn half_a_line_is_an_error_and_no_request() {
        assert!(Observed::parse(&LINE[..LINE.len() - 9]).is_err());
    }
}
