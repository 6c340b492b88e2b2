//! What Linux says about a process: memory, open files, and whether it has read what a socket holds.

use std::fs;
use std::net::SocketAddr;
use std::process::Command;
use std::time::Duration;

use super::wait_until;

/// Resident memory in KiB, or `None` once the process is gone.
pub(crate) fn rss_kib(pid: u32) -> Option<u64> {
    let status = fs::read_to_string(format!("/proc/{pid}/status")).ok()?;
    let line = status.lines().find(|line| line.starts_with("VmRSS:"))?;
    line.split_whitespace().nth(1)?.parse().ok()
}

/// How many file descriptors the process holds.
pub(crate) fn open_fds(pid: u32) -> usize {
    fs::read_dir(format!("/proc/{pid}/fd")).map_or(0, Iterator::count)
}

/// Sends a signal by name (`TERM`, `HUP`), through kill(1), since the crate forbids `unsafe`.
pub(crate) fn signal(pid: u32, name: &str) {
    let status = Command::new("kill")
        .args([format!("-{name}"), pid.to_string()])
        .status()
        .expect("kill(1) can be started");
    assert!(status.success(), "kill -{name} {pid} failed");
}

/// Waits until the process at `local` has read every byte that arrived from `remote`, so that what is written next
/// is read by a later call. The kernel's socket table is the only witness from outside.
pub(crate) fn wait_until_read(local: SocketAddr, remote: SocketAddr, deadline: Duration) {
    let wanted = format!("{} {}", table_address(local), table_address(remote));
    wait_until("the gateway to read what was sent", deadline, || {
        let table = fs::read_to_string("/proc/net/tcp").unwrap_or_default();
        let Some(line) = table.lines().find(|line| line.contains(&wanted)) else {
            return true;
        };
        let queues = line.split_whitespace().nth(4).unwrap_or_default();
        queues.ends_with(":00000000")
    });
}

/// An IPv4 address the way `/proc/net/tcp` writes it: the address as one native-endian word, the port as it is.
fn table_address(address: SocketAddr) -> String {
    let SocketAddr::V4(address) = address else {
        panic!("the suites use IPv4 towards the broker");
    };
    let word = u32::from_ne_bytes(address.ip().octets());
    format!("{word:08X}:{:04X}", address.port())
}
