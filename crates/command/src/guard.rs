//! Ends commands whose program was killed: a shell that is told which groups of processes run, by a pipe that closes with
//! this program, however it ends. What then is on its list is killed.
//!
//! A command that is started in the very moment of the kill, before it is told, goes on; and so does all where there is no
//! `sh`.

use std::io::Write;
use std::os::unix::process::CommandExt;
use std::process::{ChildStdin, Command, Stdio};
use std::sync::{Mutex, OnceLock, PoisonError};

/// Reads `+ group` and `- group`; at the end of its input the groups that are left go.
const SCRIPT: &str = r#"
groups=" "
while read -r sign group; do
    case $sign in
        +) groups="$groups$group " ;;
        -) case $groups in *" $group "*) groups="${groups%% $group *} ${groups#* $group }" ;; esac ;;
    esac
done
for group in $groups; do kill -9 "-$group" 2>/dev/null; done
"#;

static LIST: OnceLock<Option<Mutex<ChildStdin>>> = OnceLock::new();

fn start() -> Option<Mutex<ChildStdin>> {
    let mut shell = Command::new("sh");
    shell.args(["-c", SCRIPT]).current_dir("/").process_group(0);
    let child = shell.stdin(Stdio::piped()).stdout(Stdio::null()).stderr(Stdio::null()).spawn();
    Some(Mutex::new(child.ok()?.stdin.take()?))
}

fn tell(sign: char, group: u32) {
    if let Some(list) = LIST.get_or_init(start) {
        let mut list = list.lock().unwrap_or_else(PoisonError::into_inner);
        // Where nobody listens any more, commands outlive a killed program, as they would without it.
        let _ = list.write_all(format!("{sign} {group}\n").as_bytes());
    }
}

/// A group of processes runs.
pub(crate) fn started(group: u32) {
    tell('+', group);
}

/// It has ended.
pub(crate) fn ended(group: u32) {
    tell('-', group);
}
