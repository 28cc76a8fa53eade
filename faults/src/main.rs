//! Fault tests, one subcommand each. A test does a number of tries from a seed, prints what it does, and ends with
//! one line of JSON ([`report::Report`]) that `faults ledger` adds to docs/faults.md. It fails on the first
//! violation, naming the seed and the command that repeats it.

mod access;
mod adopt;
mod bits;
mod bundle;
mod calls;
mod child;
mod component;
mod disk;
mod duel;
mod errors;
mod golden;
mod goldens;
mod hostile;
mod kill;
mod lanes;
mod lengths;
mod memory;
mod oracle;
mod pages;
mod random;
mod report;
mod secrets;
mod shutdown;
mod sigbus;
mod soak;
mod space;
mod stage;
#[cfg(target_arch = "x86_64")]
mod step;
mod storage;
mod threads;
mod trap;

use std::process::ExitCode;

use clap::{Parser, Subcommand};

#[derive(Parser)]
#[command(name = "faults", about = "Fault tests of Tracewell", arg_required_else_help = true)]
struct Args {
    #[command(subcommand)]
    test: Test,
}

#[derive(Subcommand)]
enum Test {
    /// Watches every open, and races for names (T-18).
    Access(access::AccessArgs),
    #[command(hide = true)]
    AccessAttacker(access::AttackerArgs),
    #[command(hide = true)]
    AccessComponent(access::ComponentArgs),
    /// Kills producers, and the collectors that adopt what they leave.
    Adopt(adopt::AdoptArgs),
    #[command(hide = true)]
    AdoptCollector(adopt::CollectorArgs),
    #[command(hide = true)]
    AdoptProducer(adopt::ProducerArgs),
    /// Pushes secrets through everything and searches for them (T-19).
    Secrets(secrets::SecretsArgs),
    #[command(hide = true)]
    SecretsComponent(secrets::ComponentArgs),
    /// Kills processes before and after each of their system calls (T-3).
    Calls(calls::CallsArgs),
    /// Lets processes work in the same place, one system call at a time (T-13).
    Duel(duel::DuelArgs),
    /// Kills processes at random moments and reads what they leave (T-1).
    Kill(kill::KillArgs),
    /// A component of the tests of failing disks.
    #[command(hide = true)]
    Component(disk::Component),
    /// The n-th call to the disk fails (T-10).
    Errors(errors::ErrorsArgs),
    /// Harms sealed bundles, looks for plaintext on disks, and for secrets in bundles (T-19, T-21).
    Bundle(bundle::BundleArgs),
    /// Flips every bit of traces (T-6).
    Bits(bits::BitsArgs),
    /// Reads what hostile neighbours make, while they make it (T-16).
    Hostile(hostile::HostileArgs),
    #[command(hide = true)]
    HostilePeer(hostile::PeerArgs),
    #[command(hide = true)]
    HostileReader(hostile::ReaderArgs),
    /// Cuts traces at every length, and moves, doubles, takes out and splices their blocks (T-7).
    Lengths(lengths::LengthsArgs),
    /// Mixes rings of another boot from pages, sectors and lines of many moments (T-8).
    Pages(pages::PagesArgs),
    /// Adds the report lines of a file to the ledger, docs/faults.md.
    Ledger(report::LedgerArgs),
    /// A component that others do harm to.
    #[command(hide = true)]
    Exposed(sigbus::Exposed),
    /// A file system is shut down under a component (T-5).
    Shutdown(shutdown::ShutdownArgs),
    /// Mapped files are cut, emptied and removed (T-9).
    Sigbus(sigbus::SigbusArgs),
    /// No room, and room again (T-17).
    Space(space::SpaceArgs),
    /// Loss of power after every operation on the disk (T-4).
    Storage(storage::StorageArgs),
    /// Long load, with rotation, retention, churn, switches and kills; then all of it is verified.
    Soak(soak::SoakArgs),
    /// Signals, allocators, forks, thread ends, exec, rights, crowds of threads.
    Threads(threads::ThreadsArgs),
    /// Takes a crash image after every machine instruction of a path through the engine (T-2).
    #[cfg(target_arch = "x86_64")]
    Step(step::StepArgs),
}

fn main() -> ExitCode {
    tracewell_tests::end_with_the_tracers_threads();
    let outcome = match Args::parse().test {
        Test::Access(args) => access::run(&args),
        Test::AccessAttacker(args) => access::attack(&args),
        Test::AccessComponent(args) => access::component(&args),
        Test::Adopt(args) => adopt::run(&args),
        Test::AdoptCollector(args) => adopt::collect(&args),
        Test::AdoptProducer(args) => adopt::produce(&args),
        Test::Secrets(args) => secrets::run(&args),
        Test::SecretsComponent(args) => secrets::component(&args),
        Test::Calls(args) => calls::run(&args),
        Test::Duel(args) => duel::run(&args),
        Test::Kill(args) => kill::run(&args),
        Test::Component(args) => disk::component(&args),
        Test::Errors(args) => errors::run(&args),
        Test::Bundle(args) => bundle::run(&args),
        Test::Bits(args) => bits::run(&args),
        Test::Hostile(args) => hostile::run(&args),
        Test::HostilePeer(args) => hostile::peer(&args),
        Test::HostileReader(args) => hostile::reader(&args),
        Test::Lengths(args) => lengths::run(&args),
        Test::Pages(args) => pages::run(&args),
        Test::Ledger(args) => report::ledger(&args),
        Test::Exposed(args) => sigbus::exposed(&args),
        Test::Shutdown(args) => shutdown::run(&args),
        Test::Sigbus(args) => sigbus::run(&args),
        Test::Space(args) => space::run(&args),
        Test::Storage(args) => storage::run(&args),
        Test::Soak(args) => soak::run(&args),
        Test::Threads(args) => threads::run(&args),
        #[cfg(target_arch = "x86_64")]
        Test::Step(args) => step::run(&args),
    };
    match outcome {
        Ok(()) => ExitCode::SUCCESS,
        Err(violation) => {
            eprintln!("faults: {violation}");
            ExitCode::FAILURE
        }
    }
}
