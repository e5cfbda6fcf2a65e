//! A network of a test's own, with no way out: the test runs itself again in namespaces whose loopback interface carries the addresses
//! that it needs.
//!
//! Servers there have globally routable addresses and the ports that the world knows them at, and nobody outside hears of it. As root it
//! takes `CAP_SYS_ADMIN`, as anybody else user namespaces; `cargo xtask test` says beforehand where neither is to be had. All that was
//! started ends with the test, however that ends: its process namespace goes.

use std::{
    env, fs,
    process::{Command, Stdio},
};

/// Says that a test is within, and which file it leaves when its row has come to its end.
const INSIDE: &str = "POTERNE_E2E_INSIDE";

/// What is begun in the namespaces: a resolver of their own, and addresses. `/dev/shm` is hidden because `libfaketime` names its memory
/// there by process number, and these begin anew in each.
const ENTER: &str = r#"
dir=$1; shift
if [ -d /dev/shm ]; then mount -t tmpfs tmpfs /dev/shm; fi
for file in resolv.conf nsswitch.conf; do
    if [ -e "/etc/$file" ]; then mount --bind "$dir/$file" "/etc/$file"; fi
done
ip link set lo up
while read -r address flags; do ip address add "$address" dev lo $flags; done < "$dir/addresses"
exec "$@"
"#;

/// The namespaces: network, mounts and processes.
const NAMESPACES: [&str; 5] = ["--net", "--mount", "--pid", "--fork", "--kill-child"];

/// Runs a row in a network that has these addresses and this resolver. `test` is the test's whole name, as `module_path!` has it.
pub fn alone(test: &str, addresses: &[&str], resolver: &str, row: fn()) {
    if let Some(done) = env::var_os(INSIDE) {
        row();
        fs::write(done, "").unwrap();
        return;
    }
    // Its own harness knows a test without the crate's name.
    let (_, name) = test.split_once("::").unwrap();
    let dir = tempfile::tempdir().unwrap();
    // Without `nodad` an address of IPv6 can be bound to only once the kernel has come to it, which a busy machine lets wait.
    let lines = |address: &&str| format!("{address}/{}\n", if address.contains(':') { "128 nodad" } else { "32" });
    fs::write(dir.path().join("addresses"), addresses.iter().map(lines).collect::<String>()).unwrap();
    fs::write(dir.path().join("resolv.conf"), format!("nameserver {resolver}\n")).unwrap();
    fs::write(dir.path().join("nsswitch.conf"), "hosts: files dns\n").unwrap();
    let done = dir.path().join("done");
    let mut command = Command::new("unshare");
    command.args(mapping()).args(NAMESPACES).args(["sh", "-euc", ENTER, "sh"]).arg(dir.path());
    command.arg(env::current_exe().unwrap()).args(["--exact", name, "--nocapture"]);
    let status = command.env(INSIDE, &done).stdin(Stdio::null()).status().unwrap();
    assert!(status.success(), "{name} failed in its network, see above: {status}");
    assert!(done.exists(), "no test called {name} ran in its network");
}

/// Who may not make namespaces as he is may be root in a user namespace of his own.
fn mapping() -> &'static [&'static str] {
    let mut plain = Command::new("unshare");
    plain.args(NAMESPACES).arg("true").stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null());
    if plain.status().unwrap().success() { &[] } else { &["--user", "--map-root-user"] }
}
