//! The code of a command: its command line and the files that it names. They stand for a stated version.

use assets_core::Reason;
use assets_core::hash::{Digest, Hasher};
use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

/// Endings of files that are written to be run: an argument with one of them means a file.
const SCRIPTS: [&str; 10] = [".py", ".sh", ".r", ".R", ".jl", ".js", ".pl", ".rb", ".lua", ".m"];

/// A short text that changes with the command line and with what is in its files: arguments that are files in `base`, and
/// those that `patterns` name.
///
/// # Errors
/// `bad_definition` where a file is not there or can't be read.
pub(crate) fn fingerprint(command: &[String], patterns: &[String], base: &Path) -> Result<String, Reason> {
    let mut hasher = Hasher::new("assets.command.1");
    hasher.number(command.len() as u64);
    command.iter().for_each(|argument| {
        hasher.text(argument);
    });
    let files = files(command, patterns, base)?;
    hasher.number(files.len() as u64);
    for (name, path) in files {
        let bytes = std::fs::read(&path).map_err(|error| missing(&name, &error.to_string()))?;
        hasher.text(&name).number(bytes.len() as u64).bytes(&bytes);
    }
    let digest: Digest<16> = hasher.finish();
    Ok(format!("command {digest}"))
}

/// The files by the names they were given. The same folder elsewhere has the same code.
fn files(command: &[String], patterns: &[String], base: &Path) -> Result<BTreeMap<String, PathBuf>, Reason> {
    let mut files = BTreeMap::new();
    for argument in command {
        let path = base.join(argument);
        if path.is_file() {
            files.insert(argument.clone(), path);
        } else if SCRIPTS.iter().any(|ending| argument.ends_with(ending)) {
            return Err(missing(argument, "there is no such file beside the settings"));
        }
    }
    for pattern in patterns {
        let full = base.join(pattern);
        let found: Vec<PathBuf> = match full.to_str().map(glob::glob) {
            _ if full.is_file() => vec![full.clone()],
            Some(Ok(paths)) => paths.filter_map(Result::ok).filter(|path| path.is_file()).collect(),
            _ => Vec::new(),
        };
        if found.is_empty() {
            return Err(missing(pattern, "`code` names no file"));
        }
        let name = |path: &PathBuf| path.strip_prefix(base).unwrap_or(path).display().to_string();
        files.extend(found.into_iter().map(|path| (name(&path), path)));
    }
    Ok(files)
}

fn missing(name: &str, why: &str) -> Reason {
    Reason::new("bad_definition", format!("the code `{name}` can't be read: {why}")).with("path", name)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn it_changes_with_the_command_line_and_its_files_and_nothing_else() {
        let folder = tempfile::tempdir().expect("a folder");
        let other = tempfile::tempdir().expect("a folder");
        for dir in [&folder, &other] {
            std::fs::write(dir.path().join("a.py"), "1").expect("written");
            std::fs::write(dir.path().join("b.txt"), "2").expect("written");
        }
        let code = |dir: &Path, command: &[&str], patterns: &[&str]| {
            let [command, patterns] =
                [command, patterns].map(|all| all.iter().map(ToString::to_string).collect::<Vec<_>>());
            fingerprint(&command, &patterns, dir)
        };
        let first = code(folder.path(), &["python3", "a.py"], &["*.txt"]).expect("a fingerprint");
        assert_eq!(code(other.path(), &["python3", "a.py"], &["b.txt"]).expect("a fingerprint"), first);
        assert_ne!(code(folder.path(), &["python3", "a.py", "-v"], &["*.txt"]).expect("a fingerprint"), first);
        std::fs::write(folder.path().join("b.txt"), "3").expect("written");
        assert_ne!(code(folder.path(), &["python3", "a.py"], &["*.txt"]).expect("a fingerprint"), first);
        assert_eq!(code(folder.path(), &["python3", "c.py"], &[]).expect_err("no such file").code, "bad_definition");
        assert_eq!(code(folder.path(), &["true"], &["*.c"]).expect_err("no such file").code, "bad_definition");
    }
}
