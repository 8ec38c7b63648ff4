//! Which process of a container is the server, from what `/proc` says.

/// Prints each process as `\x01PID\x01COMMAND-LINE`, the command line as the kernel has it, with
/// NUL after each word (proc_pid_cmdline(5)). Needs a shell and `cat`.
pub const LIST: &str = "for d in /proc/[0-9]*; do printf '\\001%s\\001' \"${d#/proc/}\"; cat \"$d/cmdline\" 2>/dev/null; done";

/// What starts a server and stays beside it: inits and shells.
const WRAPPERS: [&str; 14] = [
    "sh",
    "bash",
    "dash",
    "ash",
    "busybox",
    "tini",
    "tini-static",
    "dumb-init",
    "catatonit",
    "docker-init",
    "s6-svscan",
    "timeout",
    "sudo",
    "cat",
];

/// A process of the container.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Process {
    /// Its id in the container's PID namespace.
    pub pid: u32,
    /// Its command line.
    pub words: Vec<String>,
}

impl Process {
    /// The command line for people, cut short.
    pub fn shown(&self) -> String {
        let line = self.words.join(" ");
        match line.char_indices().nth(60) {
            Some((end, _)) => format!("{}…", &line[..end]),
            None => line,
        }
    }

    fn program(&self) -> &str {
        let first = self.words.first().map_or("", String::as_str);
        first.rsplit('/').next().unwrap_or(first)
    }

    /// Whether it was started by the words of a marker such as `vllm serve`: they stand in a row,
    /// the first one as the last part of a path.
    fn is_started_by(&self, marker: &str) -> bool {
        let marker: Vec<&str> = marker.split_whitespace().collect();
        if marker.is_empty() || WRAPPERS.contains(&self.program()) {
            return false;
        }
        self.words.windows(marker.len()).any(|words| {
            words
                .iter()
                .zip(&marker)
                .enumerate()
                .all(|(at, (word, wanted))| {
                    let word = if at == 0 {
                        word.rsplit('/').next().unwrap_or(word)
                    } else {
                        word
                    };
                    word == *wanted
                })
        })
    }
}

/// The processes in the output of [`LIST`], in the order of their ids. Those without a command
/// line, such as kernel threads and zombies, are left out.
pub fn parse(output: &[u8]) -> Vec<Process> {
    let mut parts = output.split(|byte| *byte == 1).skip(1);
    let mut found = Vec::new();
    while let (Some(pid), Some(line)) = (parts.next(), parts.next()) {
        let Ok(pid) = String::from_utf8_lossy(pid).trim().parse() else {
            continue;
        };
        let words: Vec<String> = line
            .split(|byte| *byte == 0)
            .filter(|word| !word.is_empty())
            .map(|word| String::from_utf8_lossy(word).into_owned())
            .collect();
        if !words.is_empty() {
            found.push(Process { pid, words });
        }
    }
    found.sort_by_key(|process| process.pid);
    found
}

/// The server among the processes of its container: the one with the lowest id that one of these
/// markers started. Workers that it forked have higher ids.
pub fn server<'a>(processes: &'a [Process], markers: &[String]) -> Option<&'a Process> {
    processes
        .iter()
        .find(|process| markers.iter().any(|marker| process.is_started_by(marker)))
}

/// Kills one process: SIGKILL by its number, which every shell knows.
pub fn killer(pid: u32) -> String {
    format!("kill -9 {pid}")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn processes(list: &[(u32, &str)]) -> Vec<Process> {
        let mut output = Vec::new();
        for (pid, line) in list {
            output.extend(format!("\u{1}{pid}\u{1}").bytes());
            for word in line.split(' ').filter(|word| !word.is_empty()) {
                output.extend(word.bytes());
                output.push(0);
            }
        }
        parse(&output)
    }

    fn found(list: &[(u32, &str)], markers: &[&str]) -> Option<u32> {
        let markers: Vec<String> = markers.iter().map(|m| (*m).to_owned()).collect();
        server(&processes(list), &markers).map(|process| process.pid)
    }

    #[test]
    fn the_server_is_not_the_init_that_carries_its_words() {
        let llama = ["llama-server", "llama serve"];
        let list = [
            (1, "/sbin/tini -- llama-server -m /m.gguf"),
            (7, "/usr/bin/llama-server -m /m.gguf"),
            (19, "sh -c for"),
        ];
        assert_eq!(found(&list, &llama), Some(7));
        assert_eq!(
            found(&[(1, "/app/llama-server -m /m.gguf")], &llama),
            Some(1),
            "PID 1 is found, and refused elsewhere"
        );
        assert_eq!(found(&[(1, "sh -c llama-server")], &llama), None);
    }

    #[test]
    fn an_interpreter_and_its_workers() {
        let vllm = [
            "vllm serve",
            "python3 -m vllm.entrypoints.openai.api_server",
        ];
        let list = [
            (1, "tini -- vllm serve m"),
            (9, "/usr/bin/python3 /usr/local/bin/vllm serve m"),
            (40, "VLLM::EngineCore"),
            (41, "/usr/bin/python3 /usr/local/bin/vllm serve m"),
        ];
        assert_eq!(found(&list, &vllm), Some(9));
        let module = [(8, "/usr/bin/python3 -m vllm.entrypoints.openai.api_server")];
        assert_eq!(found(&module, &vllm), Some(8));
        assert_eq!(found(&[(8, "vllm bench serve")], &vllm), None);
        assert_eq!(found(&[(8, "not-vllm serve")], &vllm), None);
    }

    #[test]
    fn odd_output_is_no_process() {
        assert_eq!(parse(b""), []);
        assert_eq!(parse(b"sh: not found"), []);
        assert_eq!(parse(b"\x01x\x01a\0"), []);
        assert_eq!(parse(b"\x017\x01\x018\x01a\0b\nc\0").len(), 1, "a zombie");
        let shown = processes(&[(7, &"word ".repeat(40))])[0].shown();
        assert_eq!(shown.chars().count(), 61);
    }
}
