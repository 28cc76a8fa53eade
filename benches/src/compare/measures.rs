//! Everything that is measured.

use super::figures::Better::{Higher, Lower, Neither};
use super::figures::{Better, Measure};

macro_rules! measures {
    ($($name:ident $id:literal $unit:literal $better:ident $title:literal;)*) => {
        $(#[doc = $title] pub const $name: Measure = measure($id, $unit, $better, $title);)*
        /// All, in the order of the table.
        pub const ALL: &[Measure] = &[$($name),*];
    };
}

const fn measure(id: &'static str, unit: &'static str, better: Better, title: &'static str) -> Measure {
    Measure { id, title, unit, better }
}

measures! {
    EMPTY_LOOP "limit_empty_loop" "ns" Neither "empty loop";
    LOAD_BRANCH "limit_load_branch" "ns" Neither "load and branch";
    RDTSC "limit_rdtsc" "ns" Neither "bare rdtsc";
    RDTSCP "limit_rdtscp" "ns" Neither "rdtscp";
    COPY "limit_copy" "ns" Neither "copy of the record into 4 MiB";
    CLOCK_COPY "limit_clock_copy" "ns" Neither "rdtsc and that copy";
    LZ4_COMPRESS "limit_lz4_compress" "MB/s" Neither "LZ4 compresses 256 KiB of such records";
    LZ4_DECOMPRESS "limit_lz4_decompress" "MB/s" Neither "LZ4 decompresses them";
    LZ4_RATIO "limit_lz4_ratio" "times smaller" Neither "LZ4 makes them smaller";
    FILE_WRITE "limit_file_write" "MB/s" Neither "sequential write to the page cache";
    ROUND_TRIP "limit_core_round_trip" "ns" Neither "cache line to the other core and back";
    OFF "emit_off" "ns" Lower "emit off, over the empty loop";
    EMIT "emit" "ns" Lower "emit on";
    COARSE "emit_coarse" "ns" Lower "emit on, coarse clock";
    PACED "emit_paced" "ns" Lower "emit at 5 M/s while the drain runs";
    LOST_PACED "lost_paced" "share" Lower "refused at 5 M/s";
    P50 "single_p50" "ns" Lower "single emit, p50";
    P99 "single_p99" "ns" Lower "single emit, p99";
    P999 "single_p999" "ns" Lower "single emit, p99.9";
    MAX "single_max" "ns" Lower "single emit, greatest";
    FILE_1T "to_file_1t" "events/s" Higher "to the file, one thread";
    FILE_2T "to_file_2t" "events/s" Higher "to the file, two threads";
    LOST_1T "lost_1t" "share" Lower "lost meanwhile, one thread";
    LOST_2T "lost_2t" "share" Lower "lost meanwhile, two threads";
    STEADY "steady" "events/s" Higher "steady state, until all is compressed";
    BYTES "bytes" "B/event" Lower "bytes on disk";
    CPU_FILE "cpu_to_file" "ns" Lower "CPU until it is in the file";
    CPU_ALL "cpu_with_compression" "ns" Lower "CPU, compression included";
    TEXT_1 "text_1core" "events/s" Higher "to text, one core";
    TEXT_2 "text_2cores" "events/s" Higher "to text, two cores";
    DECODE "decode" "events/s" Higher "to values, one core";
    MEMORY_1 "memory_1t" "MB" Lower "resident, 1 thread";
    MEMORY_64 "memory_64t" "MB" Lower "resident, 64 threads";
    ATTACH "attach" "us" Lower "attach while off";
    ATTACH_FIRST "attach_first" "us" Lower "attach while off, first of a process";
    FIRST "first_emit" "us" Lower "first emit of a thread, with a new ring";
    FIRST_REUSED "first_emit_reused" "us" Lower "first emit of a thread, ring used again";
    FIRST_PROCESS "first_emit_process" "us" Lower "first emit of a process";
    IDLE "idle_cpu" "% of a core" Lower "on, and nothing emitted";
}
