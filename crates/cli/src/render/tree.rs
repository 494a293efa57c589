//! Indented trees.

/// A node with what hangs below it. A text of several lines stays together.
#[derive(Debug, Clone, Default, PartialEq)]
pub(crate) struct Tree {
    pub(crate) text: String,
    pub(crate) children: Vec<Tree>,
}

impl Tree {
    /// A node without children yet.
    pub(crate) fn new(text: impl Into<String>) -> Self {
        Self { text: text.into(), children: Vec::new() }
    }

    /// The tree as text, each line ended.
    pub(crate) fn render(&self) -> String {
        let mut out = String::new();
        self.draw("", "", &mut out);
        out
    }

    fn draw(&self, first: &str, rest: &str, out: &mut String) {
        let inner = if self.children.is_empty() { format!("{rest}   ") } else { format!("{rest}│  ") };
        for (i, line) in self.text.lines().enumerate() {
            out.push_str(if i == 0 { first } else { &inner });
            out.push_str(line);
            out.push('\n');
        }
        for (i, child) in self.children.iter().enumerate() {
            let last = i + 1 == self.children.len();
            let (branch, below) = if last { ("└─ ", "   ") } else { ("├─ ", "│  ") };
            child.draw(&format!("{rest}{branch}"), &format!("{rest}{below}"), out);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::Tree;

    #[test]
    fn branches() {
        let mut root = Tree::new("a\nmore");
        root.children = vec![Tree { text: "b".into(), children: vec![Tree::new("c\nd")] }, Tree::new("e")];
        assert_eq!(root.render(), "a\n│  more\n├─ b\n│  └─ c\n│        d\n└─ e\n");
    }
}
