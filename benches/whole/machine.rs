//! What the machine is, and how busy it is.

use std::fs::{self, File};
use std::io::Write;
use std::path::Path;
use std::time::{Duration, Instant};

/// Ticks of the machine's processors since it started, by what they were spent on.
pub(crate) fn ticks() -> Vec<f64> {
    let text = fs::read_to_string("/proc/stat").unwrap();
    text.lines().next().unwrap().split_whitespace().skip(1).filter_map(|ticks| ticks.parse().ok()).collect()
}

/// The share of the time since `before` in which the machine had nothing to do, in hundredths.
pub(crate) fn idle_since(before: &[f64]) -> f64 {
    let spent: Vec<f64> = ticks().iter().zip(before).map(|(after, before)| after - before).collect();
    100.0 * spent[3] / spent.iter().sum::<f64>()
}

/// The same, of the next half second.
pub(crate) fn idle_now() -> f64 {
    let before = ticks();
    std::thread::sleep(Duration::from_millis(500));
    idle_since(&before)
}

/// Half and 99 in 100 of so many appends of 4 KiB, each with its sync, were done within so many milliseconds.
pub(crate) fn sync_times(folder: &Path) -> (f64, f64) {
    let mut file = File::create(folder.join("sync")).unwrap();
    let times = (0..500).map(|_| {
        let began = Instant::now();
        file.write_all(&[7; 4096]).unwrap();
        file.sync_data().unwrap();
        began.elapsed().as_secs_f64() * 1e3
    });
    let times: Vec<f64> = times.collect();
    (quantile(&times, 0.5), quantile(&times, 0.99))
}

/// Reads a file to its end, so that the kernel has in memory what fits.
pub(crate) fn read_through(file: &Path) {
    let _bytes = std::io::copy(&mut File::open(file).unwrap(), &mut std::io::sink()).unwrap();
}

/// Waits until all that was written to the files of a folder is on the disk.
pub(crate) fn sync_all(folder: &Path) {
    for entry in fs::read_dir(folder).unwrap() {
        File::open(entry.unwrap().path()).unwrap().sync_all().unwrap();
    }
}

/// Another one in each run, so that no run sends what another sent to the same store.
pub(crate) fn seed() -> u64 {
    let since = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH);
    since.unwrap().as_micros() as u64
}

pub(crate) fn quantile(of: &[f64], share: f64) -> f64 {
    let mut sorted = of.to_vec();
    sorted.sort_unstable_by(f64::total_cmp);
    sorted
        .get(((sorted.len() as f64 * share) as usize).min(sorted.len().saturating_sub(1)))
        .copied()
        .unwrap_or(f64::NAN)
}

/// The middle one; of an even number the mean of the two in the middle.
pub(crate) fn median(of: &[f64]) -> f64 {
    let mut sorted = of.to_vec();
    sorted.sort_unstable_by(f64::total_cmp);
    let at = |place: usize| sorted.get(place).copied().unwrap_or(f64::NAN);
    f64::midpoint(at(sorted.len().saturating_sub(1) / 2), at(sorted.len() / 2))
}

/// Seconds of processor time and the largest resident size in MiB of a process and its children.
pub(crate) fn usage(pid: u32) -> (f64, f64) {
    let stat = fs::read_to_string(format!("/proc/{pid}/stat")).unwrap_or_default();
    let fields: Vec<f64> =
        stat.rsplit(')').next().unwrap_or_default().split_whitespace().filter_map(|field| field.parse().ok()).collect();
    // After the name come the state, which is no number, and then ten numbers before the times; a tick is 10 ms.
    let mut seconds = fields.iter().skip(10).take(2).sum::<f64>() / 100.0;
    let status = fs::read_to_string(format!("/proc/{pid}/status")).unwrap_or_default();
    let peak = status.lines().find_map(|line| line.strip_prefix("VmHWM:")).unwrap_or_default();
    let mut memory = peak.split_whitespace().next().and_then(|kib| kib.parse::<f64>().ok()).unwrap_or(0.0) / 1024.0;
    let children = fs::read_to_string(format!("/proc/{pid}/task/{pid}/children")).unwrap_or_default();
    for child in children.split_whitespace().filter_map(|child| child.parse().ok()) {
        let (more_seconds, more_memory) = usage(child);
        seconds += more_seconds;
        memory += more_memory;
    }
    (seconds, memory)
}

/// One line about it.
pub(crate) fn described() -> String {
    let cpu = fs::read_to_string("/proc/cpuinfo").unwrap_or_default();
    let model = cpu.lines().find_map(|line| line.strip_prefix("model name")).unwrap_or_default();
    let memory = fs::read_to_string("/proc/meminfo").unwrap_or_default();
    let kib: f64 = memory.split_whitespace().nth(1).and_then(|kib| kib.parse().ok()).unwrap_or(0.0);
    let cores = std::thread::available_parallelism().map_or(1, usize::from);
    format!(
        "{cores} cores of {}, {:.0} GiB of memory",
        model.trim_start_matches([' ', '\t', ':']),
        kib / 1024.0 / 1024.0
    )
}
