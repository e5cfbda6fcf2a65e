//! Whether the tests may have networks of their own (`tests/e2e/src/network.rs`): a right, and no package gives it.

use std::process::{Command, Stdio};

use anyhow::{Context as _, bail};

/// As the tests make them: as whoever runs them may, else as root of a user namespace.
const NAMESPACES: [&str; 5] = ["--net", "--mount", "--pid", "--fork", "--kill-child"];
const USER: [&str; 2] = ["--user", "--map-root-user"];

/// What the tests do first within, in little.
const FILL: &str = "mount --bind /etc/hosts /etc/hosts && ip link set lo up && ip address add 198.41.0.4/32 dev lo \
    && ip address add 2001:503:ba3e::2:30/128 dev lo";

/// Whether they can be made; if not, what is in the way and what to do.
pub(crate) fn may_be_made() -> anyhow::Result<()> {
    within(&["true"])
}

/// Whether they can be given addresses, too.
pub(crate) fn may_be_filled() -> anyhow::Result<()> {
    within(&["sh", "-c", FILL])
}

fn within(words: &[&str]) -> anyhow::Result<()> {
    let mut why = Vec::new();
    for mapping in [&[][..], &USER] {
        let mut command = Command::new("unshare");
        let output = command.args(mapping).args(NAMESPACES).args(words).stdin(Stdio::null()).output().context("unshare")?;
        if output.status.success() {
            return Ok(());
        }
        why.push(String::from_utf8_lossy(&output.stderr).trim().to_owned());
    }
    bail!("{}", refusal(&why))
}

fn refusal(why: &[String]) -> String {
    format!(
        "this user may not make network namespaces with addresses of their own; nothing was run. The system says: {}. Run the tests as \
         root, or let users make namespaces (sysctl user.max_user_namespaces above 0, kernel.unprivileged_userns_clone=1 on old Debian, \
         kernel.apparmor_restrict_unprivileged_userns=0 on Ubuntu; a container must be given CAP_SYS_ADMIN and CAP_NET_ADMIN), or leave \
         the tests out that need them with --without {}",
        why.join("; "),
        crate::needs::TREE
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_missing_right_is_told_with_what_to_do() {
        let told = refusal(&["unshare: unshare failed: Operation not permitted".to_owned()]);
        for words in ["Operation not permitted", "nothing was run", "CAP_SYS_ADMIN", "--without tree"] {
            assert!(told.contains(words), "{told}");
        }
    }
}
