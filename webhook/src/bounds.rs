//! What a client may cost us: bytes, time, connections.

use std::time::Duration;

/// Limits of the server. [`Bounds::default`] is what the program runs with; tests shorten times.
#[derive(Clone, Debug)]
pub struct Bounds {
    /// Longest body of a review, in bytes; a longer one is answered with 413.
    pub body_bytes: usize,
    /// Bytes of bodies longer than [`Bounds::SMALL_BODY`] that may be in memory at once; above
    /// that a review is answered with 503.
    pub buffered_bytes: usize,
    /// Time for the TLS handshake.
    pub handshake: Duration,
    /// Time for the head of a request, from its first byte; for the first request of a connection
    /// from the end of the handshake.
    pub header: Duration,
    /// Time for the whole body of a request.
    pub body: Duration,
    /// Time for the client to take the answer.
    pub write: Duration,
    /// How long a connection may be idle between two requests.
    pub idle: Duration,
    /// Connections open at once; the newest above that are closed.
    pub connections: usize,
    /// Reviews at work at once; above that a review is answered with 503.
    pub reviews: usize,
    /// Reviews that may wait for the store at once; above that an answer goes out as it is.
    pub waiting: usize,
    /// How long a review that misses an object waits for the store, in total.
    pub store_wait: Duration,
    /// How long after SIGTERM new connections are still served, each answer with
    /// `Connection: close`.
    pub lame_duck: Duration,
    /// How long requests in flight may take after that.
    pub drain: Duration,
}

impl Bounds {
    /// A body up to this many bytes is not counted against [`Bounds::buffered_bytes`]: small
    /// reviews go on while large ones crowd each other out.
    pub const SMALL_BODY: usize = 64 * 1024;
}

impl Default for Bounds {
    fn default() -> Bounds {
        Bounds {
            // A request to the API server may have 3 MiB (kubernetes/apiserver
            // pkg/server/config.go `MaxRequestBodyBytes`), and a review of an UPDATE carries the
            // object twice. controller-runtime accepts as much (pkg/webhook/admission/http.go).
            body_bytes: 7 * 1024 * 1024,
            buffered_bytes: 64 * 1024 * 1024,
            handshake: Duration::from_secs(5),
            header: Duration::from_secs(5),
            body: Duration::from_secs(10),
            write: Duration::from_secs(10),
            // The API server keeps an idle connection for 90 s (k8s.io/apimachinery
            // pkg/util/net/http.go `defaultTransport` IdleConnTimeout). Whoever closes first races
            // with a request on its way; let that be the client.
            idle: Duration::from_secs(100),
            // An API server keeps 25 idle connections per host and opens more under load; 512
            // stays below the usual soft limit of 1024 open files.
            connections: 512,
            reviews: 256,
            waiting: 64,
            // `admission.md` D10: the store's own lag, no more.
            store_wait: Duration::from_millis(250),
            // Endpoints and the API server's own resolver need a moment to hear of us going.
            lame_duck: Duration::from_secs(2),
            drain: Duration::from_secs(10),
        }
    }
}
