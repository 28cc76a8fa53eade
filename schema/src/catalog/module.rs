//! Modules that were loaded, and the files behind programs and modules.

use super::{FileAttributes, FileMode};
use crate::{CorrelationId, Event, FieldEnum, FieldFlags, ProcessKey, Timestamp};

/// Where a loaded module came from.
#[derive(FieldEnum, Clone, Copy, Debug, Default, PartialEq, Eq)]
#[event(crate = "crate")]
#[repr(u8)]
pub enum LoadKind {
    /// Not known.
    #[default]
    Unknown = 0,
    /// A file that is still there.
    Normal = 1,
    /// Memory only: there never was a file.
    MemoryOnly = 2,
    /// A file that was deleted.
    DeletedFile = 3,
}

/// Format of an image.
#[derive(FieldEnum, Clone, Copy, Debug, Default, PartialEq, Eq)]
#[event(crate = "crate")]
#[repr(u8)]
pub enum ImageFormat {
    /// Not known.
    #[default]
    Unknown = 0,
    /// ELF, 32 bits.
    Elf32 = 1,
    /// ELF, 64 bits.
    Elf64 = 2,
    /// PE, 32 bits.
    Pe32 = 3,
    /// PE, 64 bits.
    Pe64 = 4,
    /// A script with an interpreter line.
    Script = 5,
}

/// Machine that an image is made for.
#[derive(FieldEnum, Clone, Copy, Debug, Default, PartialEq, Eq)]
#[event(crate = "crate")]
#[repr(u8)]
pub enum Machine {
    /// Not known, or one that has no name here.
    #[default]
    Unknown = 0,
    /// Intel and AMD, 32 bits.
    X86 = 1,
    /// Intel and AMD, 64 bits.
    #[value("x86-64")]
    X86_64 = 2,
    /// ARM, 32 bits.
    Arm = 3,
    /// ARM, 64 bits.
    Aarch64 = 4,
    /// RISC-V.
    #[value("risc-v")]
    RiscV = 5,
    /// LoongArch.
    #[value("loongarch")]
    LoongArch = 6,
    /// POWER and PowerPC, 64 bits.
    Ppc64 = 7,
    /// IBM Z.
    S390 = 8,
    /// MIPS.
    Mips = 9,
}

/// State of a signature; the numbers are OCSF's `state_id`, and 4 for none.
#[derive(FieldEnum, Clone, Copy, Debug, Default, PartialEq, Eq)]
#[event(crate = "crate")]
#[repr(u8)]
pub enum SignatureState {
    /// Not examined.
    #[default]
    Unknown = 0,
    /// Valid, by a trusted signer.
    Valid = 1,
    /// The signer's certificate had expired.
    Expired = 2,
    /// The signer's certificate was revoked.
    Revoked = 3,
    /// There is no signature.
    Unsigned = 4,
    /// Correct, but nobody trusts the signer.
    Untrusted = 6,
    /// Correct, but the signer is explicitly distrusted.
    Distrusted = 7,
    /// It does not fit the content.
    Bad = 9,
    /// It cannot be read.
    Broken = 10,
}

/// What vouches for an image.
#[derive(FieldEnum, Clone, Copy, Debug, Default, PartialEq, Eq)]
#[event(crate = "crate")]
#[repr(u8)]
pub enum SignatureKind {
    /// Nothing, or not examined.
    #[default]
    None = 0,
    /// Authenticode, embedded in the file.
    Authenticode = 1,
    /// A signed catalogue that lists the file.
    Catalogue = 2,
    /// Integrity measurement of the kernel (`security.ima`).
    Ima = 3,
    /// fs-verity with a signature.
    FsVerity = 4,
    /// Digest in the database of a package manager.
    Package = 5,
    /// GPG signature of an AppImage.
    AppImage = 6,
}

/// Hardening of an image.
///
/// ELF: `pie`, `nx`, `relro`, `bind_now` (with `relro`: full), `canary`, `stripped`. PE: `aslr`, `nx`, `cfg` (control
/// flow guard), `no_seh`, `high_entropy_aslr`, `force_integrity`.
#[derive(FieldFlags, Clone, Copy, Debug, Default, PartialEq, Eq)]
#[event(crate = "crate")]
#[flags(
    PIE = 1,
    NX = 2,
    RELRO = 4,
    BIND_NOW = 8,
    CANARY = 16,
    STRIPPED = 32,
    ASLR = 64,
    CFG = 128,
    NO_SEH = 256,
    HIGH_ENTROPY_ASLR = 512,
    FORCE_INTEGRITY = 1024
)]
pub struct Hardening(pub u32);

/// A module was loaded into a process.
#[derive(Event, Clone, Copy, Debug, Default)]
#[event(
    crate = "crate",
    name = "module.load",
    category = "module",
    level = "debug",
    text = "process {pid} loaded {path} ({load}), {mapped} bytes mapped"
)]
pub struct ModuleLoad<'a> {
    /// Stable key of the process.
    #[field(public)]
    pub process_key: Option<ProcessKey>,
    /// Process id.
    #[field(public)]
    pub pid: u32,
    /// Path of the module's file; empty if there is none.
    #[field(personal)]
    pub path: &'a str,
    /// First address of the mapped region.
    #[field(public)]
    pub base: u64,
    /// Size of the mapped region: it ends before `base` + `mapped`.
    #[field(public, unit = "bytes")]
    pub mapped: u64,
    /// Where it came from.
    #[field(public)]
    pub load: LoadKind,
    /// Path of what loaded it: the dynamic loader or another module.
    #[field(personal)]
    pub loader: Option<&'a str>,
    /// When it was loaded or seen first; absent if it was not noticed at once.
    #[field(public)]
    pub loaded: Option<Timestamp>,
    /// SHA-256 of the file: joins it to its `module.image`.
    #[field(public)]
    pub sha256: Option<[u8; 32]>,
    /// Story it belongs to: the same as of the process's launch.
    #[field(public)]
    pub correlation: CorrelationId,
}

/// Facts about the file of a program or module: headers, packers, hash sums, signature. Recorded once for each hash
/// and session; launches and loads refer to it by `sha256`.
#[derive(Event, Clone, Copy, Debug, Default)]
#[event(
    crate = "crate",
    name = "module.image",
    category = "module",
    level = "info",
    text = "{path} is {format} for {machine}, {size} bytes"
)]
pub struct ModuleImage<'a> {
    /// SHA-256 of the file.
    #[field(public)]
    pub sha256: [u8; 32],
    /// SHA-1 of the file.
    #[field(public)]
    pub sha1: Option<[u8; 20]>,
    /// MD5 of the file.
    #[field(public)]
    pub md5: Option<[u8; 16]>,
    /// PE: MD5 of the imported libraries and names (imphash).
    #[field(public)]
    pub imphash: Option<[u8; 16]>,
    /// Fuzzy hash as text: TLSH (begins with "T1") or ssdeep.
    #[field(public)]
    pub fuzzy_hash: Option<&'a str>,
    /// Path of the file.
    #[field(personal)]
    pub path: &'a str,
    /// Size of the file.
    #[field(public, unit = "bytes")]
    pub size: u64,
    /// Attributes of the file.
    #[field(public)]
    pub attributes: Option<FileAttributes>,
    /// Permission bits of the file.
    #[field(public)]
    pub mode: Option<FileMode>,
    /// Names of the file's extended attributes.
    #[field(public)]
    pub xattrs: &'a [&'a str],
    /// File capabilities that are permitted, the kernel's bit mask.
    #[field(public)]
    pub capabilities: Option<u64>,
    /// When the file was created.
    #[field(public)]
    pub created: Option<Timestamp>,
    /// When the file was modified.
    #[field(public)]
    pub modified: Option<Timestamp>,
    /// Inode number of the file.
    #[field(public)]
    pub inode: Option<u64>,
    /// Number of the device that the file is on.
    #[field(public)]
    pub device: Option<u64>,
    /// User id of the file's owner.
    #[field(personal)]
    pub owner: Option<u32>,
    /// Package that owns the file.
    #[field(public)]
    pub package: Option<&'a str>,
    /// Whether the file is as the package shipped it.
    #[field(public)]
    pub package_unmodified: Option<bool>,
    /// Format of the file.
    #[field(public)]
    pub format: ImageFormat,
    /// Machine it is made for; absent of a script.
    #[field(public)]
    pub machine: Option<Machine>,
    /// Machine, the number in the ELF or PE header, of one that has no name here.
    #[field(public)]
    pub machine_number: Option<u16>,
    /// ELF: type. PE: characteristics.
    #[field(public)]
    pub kind: Option<u16>,
    /// PE: subsystem.
    #[field(public)]
    pub subsystem: Option<u16>,
    /// PE: DLL characteristics.
    #[field(public)]
    pub dll_characteristics: Option<u16>,
    /// PE: time stamp of the header; may be invented by the linker.
    #[field(public)]
    pub link_time: Option<Timestamp>,
    /// PE: linker version, major in the upper byte, minor in the lower.
    #[field(public)]
    pub linker_version: Option<u16>,
    /// Address of the entry point, relative to the image.
    #[field(public)]
    pub entry: Option<u64>,
    /// PE: preferred address of the image.
    #[field(public)]
    pub image_base: Option<u64>,
    /// Number of sections in the header; the lists of sections may hold fewer.
    #[field(public)]
    pub section_count: Option<u32>,
    /// Names of the sections; parallel to the other lists of sections.
    #[field(public)]
    pub section_names: &'a [&'a str],
    /// Virtual addresses of the sections.
    #[field(public)]
    pub section_addresses: &'a [u64],
    /// Sizes of the sections in memory.
    #[field(public, unit = "bytes")]
    pub section_sizes: &'a [u64],
    /// Sizes of the sections in the file.
    #[field(public, unit = "bytes")]
    pub section_raw_sizes: &'a [u64],
    /// Flags of the sections, as in the header.
    #[field(public)]
    pub section_flags: &'a [u64],
    /// Entropy of the sections, 0 to 8; near 8 means packed or encrypted.
    #[field(public, unit = "bits/byte")]
    pub section_entropy: &'a [f64],
    /// Libraries that it needs.
    #[field(public)]
    pub imports: &'a [&'a str],
    /// Number of imported names.
    #[field(public)]
    pub import_count: Option<u32>,
    /// Number of exported names.
    #[field(public)]
    pub export_count: Option<u32>,
    /// PE: number of resources.
    #[field(public)]
    pub resource_count: Option<u32>,
    /// PE: language ids of the resources, each once.
    #[field(public)]
    pub resource_languages: &'a [u16],
    /// PE: MD5 of the Rich header.
    #[field(public)]
    pub rich_hash: Option<[u8; 16]>,
    /// Path of the debug information (PDB).
    #[field(personal)]
    pub debug_path: Option<&'a str>,
    /// GUID of the debug information (PDB).
    #[field(public)]
    pub debug_guid: Option<[u8; 16]>,
    /// PE: number of TLS callbacks, which run before the entry point.
    #[field(public)]
    pub tls_callbacks: Option<u16>,
    /// Offset in the file of data behind the image.
    #[field(public, unit = "bytes")]
    pub overlay_offset: Option<u64>,
    /// Size of data behind the image.
    #[field(public, unit = "bytes")]
    pub overlay_size: Option<u64>,
    /// PE: checksum in the header.
    #[field(public)]
    pub checksum_declared: Option<u32>,
    /// PE: checksum as computed from the file.
    #[field(public)]
    pub checksum_computed: Option<u32>,
    /// Version resource: company.
    #[field(public)]
    pub company: Option<&'a str>,
    /// Version resource: product.
    #[field(public)]
    pub product: Option<&'a str>,
    /// Version resource: description.
    #[field(public)]
    pub description: Option<&'a str>,
    /// Version resource: original file name.
    #[field(public)]
    pub original_name: Option<&'a str>,
    /// Version resource: version of the file.
    #[field(public)]
    pub file_version: Option<&'a str>,
    /// Version resource: version of the product.
    #[field(public)]
    pub product_version: Option<&'a str>,
    /// Region code: language id of the version resource ("0409"), or the system's locale ("en_US").
    #[field(public)]
    pub region: Option<&'a str>,
    /// Interpreter: of ELF the dynamic loader, of a script the program of its first line.
    #[field(public)]
    pub interpreter: Option<&'a str>,
    /// First line of a script, with the interpreter's arguments.
    #[field(personal, max = 256)]
    pub first_line: Option<&'a str>,
    /// ELF: build id.
    #[field(public)]
    pub build_id: Option<&'a [u8]>,
    /// ELF: search path of libraries (RPATH or RUNPATH).
    #[field(public)]
    pub rpath: Option<&'a str>,
    /// Hardening.
    #[field(public)]
    pub hardening: Option<Hardening>,
    /// Compression utilities (packers) that were used, the outermost first, for example "UPX"; empty if none is known.
    #[field(public)]
    pub packers: &'a [&'a str],
    /// Versions of the packers, parallel to `packers`; an empty text if one is not known.
    #[field(public)]
    pub packer_versions: &'a [&'a str],
    /// How sure the packers are, 0 to 100.
    #[field(public, unit = "%")]
    pub packer_confidence: Option<u8>,
    /// What vouches for the file; absent if that was not examined.
    #[field(public)]
    pub signature: Option<SignatureKind>,
    /// State of the signature; absent if it was not examined.
    #[field(public)]
    pub signature_state: Option<SignatureState>,
    /// Digest algorithm of the signature, for example "sha256".
    #[field(public)]
    pub digest_algorithm: Option<&'a str>,
    /// Subject of the signer's certificate.
    #[field(public)]
    pub signer: Option<&'a str>,
    /// Issuer of the signer's certificate.
    #[field(public)]
    pub issuer: Option<&'a str>,
    /// Serial number of the signer's certificate.
    #[field(public)]
    pub serial: Option<&'a [u8]>,
    /// Thumbprint (SHA-1 or SHA-256 of the DER form) of the signer's certificate.
    #[field(public)]
    pub thumbprint: Option<&'a [u8]>,
    /// When the signer's certificate began to be valid.
    #[field(public)]
    pub signer_from: Option<Timestamp>,
    /// When the signer's certificate stops being valid.
    #[field(public)]
    pub signer_until: Option<Timestamp>,
    /// SHA-256 of the certificates of the signer's chain, the signer's first.
    #[field(public)]
    pub signer_chain: &'a [[u8; 32]],
    /// Time in the counter-signature.
    #[field(public)]
    pub countersigned: Option<Timestamp>,
    /// Whether the signature holds hashes of the single pages.
    #[field(public)]
    pub page_hashes: Option<bool>,
    /// Why the signature could not be examined.
    #[field(public)]
    pub signature_error: Option<&'a str>,
    /// Story it belongs to: that of the launch or load that showed it first.
    #[field(public)]
    pub correlation: CorrelationId,
}
