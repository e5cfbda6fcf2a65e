//! What this process has taken so far.

use std::{
    fs,
    time::{Duration, Instant},
};

use anyhow::Context as _;

/// CPU of all threads, those that ended included.
pub(crate) fn cpu() -> anyhow::Result<Duration> {
    // Ticks of 10 ms (proc(5)): only sums over many changes mean something.
    let stat = fs::read_to_string("/proc/self/stat")?;
    let fields: Vec<&str> = stat.rsplit(") ").next().context("no fields")?.split(' ').collect();
    let ticks: u64 = fields.get(11).context("no utime")?.parse::<u64>()? + fields.get(12).context("no stime")?.parse::<u64>()?;
    Ok(Duration::from_millis(ticks * 10))
}

/// Resident now, and at most so far, in KiB.
pub(crate) fn memory() -> anyhow::Result<(u64, u64)> {
    let status = fs::read_to_string("/proc/self/status")?;
    let field = |name: &str| {
        let line = status.lines().find_map(|line| line.strip_prefix(name)).context("a field of /proc/self/status is missing")?;
        Ok::<u64, anyhow::Error>(line.trim().trim_end_matches(" kB").trim().parse()?)
    };
    Ok((field("VmRSS:")?, field("VmHWM:")?))
}

/// Says how long something took, and returns what it made.
pub(crate) async fn timed<T>(what: &str, work: impl Future<Output = anyhow::Result<T>>) -> anyhow::Result<T> {
    let (began, before) = (Instant::now(), cpu()?);
    let made = work.await?;
    let (wall, spent) = (began.elapsed(), cpu()? - before);
    let (rss, peak) = memory()?;
    println!(
        "{what:<58} {:>10.1} ms  cpu {:>7} ms  rss {:>5} MiB (peak {:>5})",
        wall.as_secs_f64() * 1e3,
        spent.as_millis(),
        rss / 1024,
        peak / 1024
    );
    Ok(made)
}

/// Says how the times are spread.
pub(crate) fn spread(what: &str, mut times: Vec<Duration>) {
    times.sort();
    let at = |percent: usize| times[(times.len() - 1) * percent / 100].as_secs_f64() * 1e3;
    println!("{what:<58} p50 {:>8.3} ms  p99 {:>8.3} ms  max {:>8.3} ms", at(50), at(99), at(100));
}
