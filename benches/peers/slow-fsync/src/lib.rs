//! Preloaded (`LD_PRELOAD`), makes every fsync and fdatasync take longer, as a slower disk would: the thread sleeps, and
//! leaves the processor to others. `SLOW_FSYNC_MICROSECONDS` says by how much.

use std::env;
use std::io::Error;
use std::sync::OnceLock;

use libc::{c_int, c_long, timespec};

/// # Safety
/// As fsync of the C library.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn fsync(file: c_int) -> c_int {
    slowly(libc::SYS_fsync, file)
}

/// # Safety
/// As fdatasync of the C library.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn fdatasync(file: c_int) -> c_int {
    slowly(libc::SYS_fdatasync, file)
}

fn slowly(call: c_long, file: c_int) -> c_int {
    // SAFETY: both calls take one file descriptor, and a wrong one is an error, not undefined.
    let result = unsafe { libc::syscall(call, file) };
    let error = Error::last_os_error();
    wait();
    // SAFETY: the location is this thread's own. What waiting left in it must not hide why the call failed.
    unsafe { *libc::__errno_location() = error.raw_os_error().unwrap_or(0) };
    // The calls return 0 or -1.
    result as c_int
}

fn wait() {
    let Some(delay) = *delay() else { return };
    // The kernel may add its slack (50 µs by default) to every sleep of a thread.
    // SAFETY: the option takes a number, and concerns this thread only.
    unsafe { libc::prctl(libc::PR_SET_TIMERSLACK, 1) };
    let mut rest = delay;
    // SAFETY: both pointers are to this frame; a signal leaves in `rest` what is still to be slept.
    while unsafe { libc::clock_nanosleep(libc::CLOCK_MONOTONIC, 0, &raw const rest, &raw mut rest) }
        == libc::EINTR
    {}
}

fn delay() -> &'static Option<timespec> {
    static DELAY: OnceLock<Option<timespec>> = OnceLock::new();
    DELAY.get_or_init(|| {
        let microseconds: i64 = env::var("SLOW_FSYNC_MICROSECONDS").ok()?.parse().ok()?;
        Some(timespec {
            tv_sec: microseconds / 1_000_000,
            tv_nsec: microseconds % 1_000_000 * 1000,
        })
    })
}
