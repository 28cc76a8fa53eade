//! What differs between kinds of processors: the registers.

use std::io;

/// Registers of a thread, as the kernel gives them.
#[derive(Clone, Debug, PartialEq)]
pub struct Registers {
    /// The general ones (`user_regs_struct`): r15, r14, r13, r12, rbp, rbx, r11, r10, r9, r8, rax, rcx, rdx, rsi, rdi, orig_rax,
    /// rip, cs, eflags, rsp, ss, fs_base, gs_base, ds, es, fs, gs.
    pub general: [u64; 27],
    /// Those for floating point (`user_fpregs_struct`).
    pub float: Vec<u8>,
}

/// Bytes of the floating-point registers.
pub(crate) const FLOAT: usize = 512;

impl Registers {
    /// Of a thread that is stopped by us.
    #[cfg(target_arch = "x86_64")]
    pub(crate) fn of(tid: u32) -> io::Result<Self> {
        const PRSTATUS: usize = 1;
        const PRFPREG: usize = 2;
        let mut bytes = [0; 27 * 8];
        if crate::sys::registers(tid, PRSTATUS, &mut bytes)? != bytes.len() {
            return Err(io::Error::other("it is a program for another kind of processor (32 bits)"));
        }
        let mut general = [0; 27];
        for (register, bytes) in general.iter_mut().zip(bytes.chunks_exact(8)) {
            *register = bytes.iter().rev().fold(0, |value, byte| value << 8 | u64::from(*byte));
        }
        let mut float = vec![0; FLOAT];
        crate::sys::registers(tid, PRFPREG, &mut float)?;
        Ok(Self { general, float })
    }

    /// Of a thread that is stopped by us.
    #[cfg(not(target_arch = "x86_64"))]
    pub(crate) fn of(_tid: u32) -> io::Result<Self> {
        Err(io::ErrorKind::Unsupported.into())
    }

    /// Where the thread is in its code.
    #[must_use]
    pub fn instruction(&self) -> u64 {
        self.general[16]
    }

    /// Where its stack ends.
    #[must_use]
    pub fn stack(&self) -> u64 {
        self.general[19]
    }
}

impl Default for Registers {
    fn default() -> Self {
        Self { general: [0; 27], float: vec![0; FLOAT] }
    }
}
