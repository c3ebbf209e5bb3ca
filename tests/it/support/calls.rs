//! System calls of the program under test: refused, as by a kernel or a file system that does not
//! have them, or counted, so that the program can be killed before any of them.
//!
//! A seccomp filter does both. It is put on between fork and exec, and what the program starts has it
//! too.

use std::io;
use std::mem::zeroed;
use std::os::fd::{AsRawFd, OwnedFd};
use std::os::unix::process::CommandExt;
use std::path::Path;
use std::process::{Command, Stdio};

use rustix::io::Errno;
use rustix::process::{Pid, PidfdFlags, PidfdGetfdFlags, Signal, kill_process};

use super::{Output, finish};

/// A system call; one with a mask only where an argument has any of its bits.
#[derive(Clone, Copy)]
pub(crate) struct Call {
    number: libc::c_long,
    argument: u32,
    mask: u32,
}

const fn call(number: libc::c_long) -> Call {
    with(number, 0, 0)
}

const fn with(number: libc::c_long, argument: u32, mask: libc::c_int) -> Call {
    Call {
        number,
        argument,
        mask: mask.cast_unsigned(),
    }
}

/// `O_TMPFILE` without `O_DIRECTORY`, which is part of it.
const UNNAMED: libc::c_int = libc::O_TMPFILE & !libc::O_DIRECTORY;

/// Making files that have no name yet.
pub(crate) const UNNAMED_FILES: Call = with(libc::SYS_openat, 2, UNNAMED);
/// Linking an open file by its descriptor alone.
pub(crate) const LINK_BY_DESCRIPTOR: Call = with(libc::SYS_linkat, 4, libc::AT_EMPTY_PATH);
/// Linking an open file by its name in `/proc`.
pub(crate) const LINK_BY_PROC: Call = with(libc::SYS_linkat, 4, libc::AT_SYMLINK_FOLLOW);
/// Linking whatever it is.
pub(crate) const LINK: Call = call(libc::SYS_linkat);
/// Renaming with conditions.
pub(crate) const RENAME_WITH_FLAGS: Call = with(libc::SYS_renameat2, 4, !0);
/// Making directories.
pub(crate) const MAKE_DIRECTORY: Call = call(libc::SYS_mkdirat);
/// Making sockets: asking anybody anything over a network.
pub(crate) const SOCKET: Call = call(libc::SYS_socket);
/// Making pipes.
pub(crate) const MAKE_PIPE: Call = call(libc::SYS_mknodat);

/// Syncing a whole file system.
const SYNC_ALL: Call = call(libc::SYS_syncfs);

/// Looking at what a listed directory has.
pub(crate) const LOOK: Call = with(libc::SYS_statx, 2, libc::AT_NO_AUTOMOUNT);

/// The numbers of the calls that give something its name.
pub(crate) const NAMING: [libc::c_long; 3] =
    [libc::SYS_linkat, libc::SYS_mkdirat, libc::SYS_symlinkat];

/// What changes files.
pub(crate) const CHANGES: [Call; 19] = [
    with(libc::SYS_openat, 2, libc::O_CREAT | UNNAMED),
    call(libc::SYS_mkdirat),
    call(libc::SYS_mknodat),
    call(libc::SYS_symlinkat),
    call(libc::SYS_linkat),
    call(libc::SYS_renameat),
    call(libc::SYS_renameat2),
    call(libc::SYS_unlinkat),
    call(libc::SYS_pwrite64),
    call(libc::SYS_ftruncate),
    call(libc::SYS_fchmod),
    call(libc::SYS_fchown),
    call(libc::SYS_fchownat),
    call(libc::SYS_fsetxattr),
    call(libc::SYS_lsetxattr),
    call(libc::SYS_utimensat),
    call(libc::SYS_flock),
    call(libc::SYS_syncfs),
    call(libc::SYS_fsync),
];

/// What reads files at some place, or advises the system on what it keeps of them in memory.
pub(crate) const READS: [Call; 2] = [call(libc::SYS_pread64), call(libc::SYS_fadvise64)];

/// Makes the program fail with an error at every one of these calls.
pub(crate) fn refuse(command: &mut Command, calls: &[(Call, Errno)]) {
    let errno = |error: Errno| libc::SECCOMP_RET_ERRNO | error.raw_os_error().cast_unsigned();
    let rules: Vec<_> = calls.iter().map(|(call, e)| (*call, errno(*e))).collect();
    let filter = filter(&rules);
    before_exec(command, move || install(&filter, 0).map(drop));
}

/// Runs the program where syncing a whole file system does nothing, as on FUSE; an old kernel, which it takes this
/// for, tells of no failure either.
pub(crate) fn without_syncing_all(command: &mut Command) {
    let done = libc::SECCOMP_RET_ERRNO;
    let filter = filter(&[(SYNC_ALL, done)]);
    before_exec(command, move || {
        let old = libc::UNAME26.try_into().unwrap();
        #[expect(unsafe_code, reason = "no crate has this call")]
        check(unsafe { libc::personality(old) })?;
        install(&filter, 0).map(drop)
    });
}

/// Makes the program die of any of these calls.
pub(crate) fn forbid(command: &mut Command, calls: &[Call]) {
    let rules: Vec<_> = calls
        .iter()
        .map(|call| (*call, libc::SECCOMP_RET_KILL_PROCESS))
        .collect();
    let filter = filter(&rules);
    before_exec(command, move || install(&filter, 0).map(drop));
}

/// Runs a command in which the program dies before the `at`th of its calls that change files, counted
/// from 0; `None` where it makes fewer. Other programs that the command runs are left alone.
pub(crate) fn killed_at(mut command: Command, at: usize) -> Option<Output> {
    let mut seen = 0;
    let mut killed = false;
    let output = watched(&mut command, |_| {
        seen += 1;
        match seen == at + 1 {
            true => {
                killed = true;
                Answer::Kill
            }
            false => Answer::Proceed,
        }
    });
    killed.then_some(output)
}

/// What becomes of a call.
pub(crate) enum Answer {
    Proceed,
    Kill,
    Refuse(Errno),
}

/// A call that waits for its answer.
pub(crate) struct Waiting {
    pub(crate) number: libc::c_long,
    pub(crate) process: u32,
    pub(crate) arguments: [u64; 6],
}

impl Waiting {
    /// Whether two names are to be exchanged.
    pub(crate) fn exchanges(&self) -> bool {
        self.number == libc::SYS_renameat2 && self.arguments[4] == u64::from(libc::RENAME_EXCHANGE)
    }
}

/// Runs a command and decides on each call by which the program changes files.
pub(crate) fn watched(command: &mut Command, decide: impl FnMut(&Waiting) -> Answer) -> Output {
    watched_among(command, &CHANGES, decide)
}

/// Runs a command and decides on each of these calls by the program.
pub(crate) fn watched_among(
    command: &mut Command,
    calls: &[Call],
    mut decide: impl FnMut(&Waiting) -> Answer,
) -> Output {
    /// Where the child has the filter's descriptor.
    const LISTENER: libc::c_int = 200;
    let wait = |call: &Call| (*call, libc::SECCOMP_RET_USER_NOTIF);
    let filter = filter(&calls.iter().map(wait).collect::<Vec<_>>());
    before_exec(command, move || {
        let listener = install(&filter, libc::SECCOMP_FILTER_FLAG_NEW_LISTENER)?;
        #[expect(unsafe_code, reason = "no other way to give a descriptor a number")]
        check(unsafe { libc::dup2(listener, LISTENER) }).map(drop)
    });
    command.stdout(Stdio::piped()).stderr(Stdio::piped());
    let child = command.spawn().unwrap();
    let process = rustix::process::pidfd_open(pid(child.id()), PidfdFlags::empty()).unwrap();
    let flags = PidfdGetfdFlags::empty();
    let listener = rustix::process::pidfd_getfd(&process, LISTENER, flags).unwrap();
    while let Some(call) = next(&listener) {
        let decision = match is_by_offsite(&call) {
            true => decide(&Waiting {
                number: call.data.nr.into(),
                process: call.pid,
                arguments: call.data.args,
            }),
            false => Answer::Proceed,
        };
        match decision {
            Answer::Proceed => answer(&listener, call.id, 0),
            Answer::Refuse(error) => answer(&listener, call.id, -error.raw_os_error()),
            Answer::Kill => kill_process(pid(call.pid), Signal::KILL).unwrap(),
        }
    }
    finish(child.wait_with_output().unwrap())
}

fn pid(number: u32) -> Pid {
    Pid::from_raw(number.cast_signed()).unwrap()
}

fn is_by_offsite(call: &libc::seccomp_notif) -> bool {
    let program = std::fs::read_link(format!("/proc/{}/exe", call.pid));
    program.is_ok_and(|program| program == Path::new(env!("CARGO_BIN_EXE_offsite")))
}

fn before_exec(
    command: &mut Command,
    work: impl FnMut() -> io::Result<()> + Send + Sync + 'static,
) {
    #[expect(unsafe_code, reason = "it makes system calls only")]
    unsafe {
        command.pre_exec(work);
    }
}

fn check(result: libc::c_int) -> io::Result<libc::c_int> {
    match result {
        -1 => Err(io::Error::last_os_error()),
        result => Ok(result),
    }
}

/// A program for the filter's machine: the action of the first rule that fits, or none.
fn filter(rules: &[(Call, u32)]) -> Vec<libc::sock_filter> {
    let op = |code: u32, k: u32, jt: u8, jf: u8| libc::sock_filter {
        code: u16::try_from(code).unwrap(),
        jt,
        jf,
        k,
    };
    let load = libc::BPF_LD | libc::BPF_W | libc::BPF_ABS;
    let jump = libc::BPF_JMP | libc::BPF_K;
    let mut program = Vec::new();
    for (call, action) in rules {
        let number = u32::try_from(call.number).unwrap();
        program.push(op(load, 0, 0, 0));
        if call.mask == 0 {
            program.push(op(jump | libc::BPF_JEQ, number, 0, 1));
        } else {
            program.push(op(jump | libc::BPF_JEQ, number, 0, 3));
            // Arguments begin at 16, eight bytes each, the lower half first.
            program.push(op(load, 16 + 8 * call.argument, 0, 0));
            program.push(op(jump | libc::BPF_JSET, call.mask, 0, 1));
        }
        program.push(op(libc::BPF_RET, *action, 0, 0));
    }
    program.push(op(libc::BPF_RET, libc::SECCOMP_RET_ALLOW, 0, 0));
    program
}

#[expect(unsafe_code, reason = "no crate has these calls")]
fn install(filter: &[libc::sock_filter], flags: libc::c_ulong) -> io::Result<libc::c_int> {
    let program = libc::sock_fprog {
        len: filter.len().try_into().unwrap(),
        filter: filter.as_ptr().cast_mut(),
    };
    let mode = libc::SECCOMP_SET_MODE_FILTER;
    check(unsafe { libc::prctl(libc::PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) })?;
    let result = unsafe { libc::syscall(libc::SYS_seccomp, mode, flags, &raw const program) };
    check(result.try_into().unwrap())
}

/// Waits for the next call; `None` once everything the command has started has ended.
#[expect(unsafe_code, reason = "no crate has these calls")]
fn next(listener: &OwnedFd) -> Option<libc::seccomp_notif> {
    loop {
        let mut poll = libc::pollfd {
            fd: listener.as_raw_fd(),
            events: libc::POLLIN,
            revents: 0,
        };
        unsafe { libc::poll(&raw mut poll, 1, -1) };
        if poll.revents & libc::POLLIN == 0 {
            return None;
        }
        let mut call: libc::seccomp_notif = unsafe { zeroed() };
        let request = libc::SECCOMP_IOCTL_NOTIF_RECV;
        let received = unsafe { libc::ioctl(poll.fd, request, &raw mut call) };
        if received == 0 {
            return Some(call);
        }
    }
}

#[expect(unsafe_code, reason = "no crate has these calls")]
fn answer(listener: &OwnedFd, id: u64, error: libc::c_int) {
    let flags = match error {
        0 => u32::try_from(libc::SECCOMP_USER_NOTIF_FLAG_CONTINUE).unwrap(),
        _ => 0,
    };
    let mut answer = libc::seccomp_notif_resp {
        id,
        val: 0,
        error,
        flags,
    };
    let request = libc::SECCOMP_IOCTL_NOTIF_SEND;
    // The program may have died meanwhile.
    unsafe { libc::ioctl(listener.as_raw_fd(), request, &raw mut answer) };
}
