//! A server with little memory: a control group of the kernel holds it, and what it reads from the disk is charged to it. And
//! files that are not in memory, so that they are read again.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

/// Where the kernel shows its control groups: all in one tree, or those for memory in a tree of their own.
const ROOT: &str = "/sys/fs/cgroup";

/// A group of processes that may use so much memory together, with what the kernel keeps in memory of the files they read.
pub(crate) struct Group {
    folder: PathBuf,
    /// What the kernel calls the most that was used.
    most: &'static str,
}

impl Group {
    /// Says what is lacking where there cannot be one.
    pub(crate) fn of(mebibytes: u64) -> Result<Group, String> {
        let one_tree = Path::new(ROOT).join("cgroup.controllers").exists();
        let parent = if one_tree { PathBuf::from(ROOT) } else { Path::new(ROOT).join("memory") };
        let (limit, most, swap) = if one_tree {
            ("memory.max", "memory.peak", "memory.swap.max")
        } else {
            ("memory.limit_in_bytes", "memory.max_usage_in_bytes", "memory.swappiness")
        };
        let folder = parent.join(format!("counterfoil-bench-{}", std::process::id()));
        let cannot = |error: std::io::Error| format!("no control group for memory can be made: {error}");
        if one_tree {
            // It may be so already, or not be allowed; then there is no file for the limit.
            let _handed_down = fs::write(parent.join("cgroup.subtree_control"), "+memory").is_ok();
        }
        fs::create_dir(&folder).map_err(cannot)?;
        let group = Group { folder, most };
        let bytes = mebibytes * 1024 * 1024;
        fs::write(group.folder.join(limit), bytes.to_string()).map_err(cannot)?;
        // A machine without swap may not have it.
        let _no_swap = fs::write(group.folder.join(swap), "0").is_ok();
        Ok(group)
    }

    /// The same command, but in the group from its first moment.
    pub(crate) fn hold(&self, command: &Command) -> Command {
        let mut held = Command::new("sh");
        held.args(["-c", "echo $$ > \"$0\" && exec \"$@\""]).arg(self.folder.join("cgroup.procs"));
        held.arg(command.get_program()).args(command.get_args());
        held
    }

    /// MiB that were used at most.
    pub(crate) fn most(&self) -> f64 {
        let bytes = fs::read_to_string(self.folder.join(self.most)).unwrap_or_default();
        bytes.trim().parse().map_or(f64::NAN, |bytes: f64| bytes / 1024.0 / 1024.0)
    }
}

impl Drop for Group {
    fn drop(&mut self) {
        // Its processes have ended.
        let _gone = fs::remove_dir(&self.folder).is_ok();
    }
}

/// Lets go what the kernel keeps in memory of these files. Says what is lacking where it does not.
pub(crate) fn forget(data: &Path) -> Result<(), String> {
    crate::machine::sync_all(data);
    for file in fs::read_dir(data).unwrap().map(|entry| entry.unwrap().path()) {
        let from = format!("if={}", file.display());
        let done = Command::new("dd").arg(from).args(["iflag=nocache", "count=0", "status=none"]).status();
        if !done.is_ok_and(|status| status.success()) {
            return Err("dd does not let go what is in memory of a file".into());
        }
    }
    Ok(())
}
