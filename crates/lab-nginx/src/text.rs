//! Writes `nginx.conf`: directives and blocks, indented.

/// Text under construction.
#[derive(Debug, Default)]
pub(crate) struct Text {
    text: String,
    depth: usize,
}

impl Text {
    /// A directive without its semicolon.
    pub(crate) fn directive(&mut self, directive: &str) {
        self.line(&format!("{directive};"));
    }

    /// A comment.
    pub(crate) fn comment(&mut self, comment: &str) {
        self.line(&format!("# {comment}"));
    }

    /// A block around what `inside` writes.
    pub(crate) fn block(&mut self, head: &str, inside: impl FnOnce(&mut Text)) {
        self.line(&format!("{head} {{"));
        self.depth += 1;
        inside(self);
        self.depth -= 1;
        self.line("}");
    }

    /// What was written up to here.
    pub(crate) fn so_far(&self) -> &str {
        &self.text
    }

    /// What was written.
    pub(crate) fn finish(self) -> String {
        self.text
    }

    fn line(&mut self, line: &str) {
        for _ in 0..self.depth {
            self.text.push_str("    ");
        }
        self.text.push_str(line);
        self.text.push('\n');
    }
}
