//! Loaded modules and the files behind programs and modules.

use super::FileAttributes;
use crate::{CorrelationId, Event, FieldEnum, FieldFlags, ProcessKey, Timestamp};

/// How a module came into memory.
#[derive(FieldEnum, Clone, Copy, Debug, Default, PartialEq, Eq)]
#[event(crate = "crate")]
#[repr(u8)]
pub enum LoadKind {
    /// Not known.
    #[default]
    Unknown = 0,
    /// From a file.
    Normal = 1,
    /// From memory only.
    MemoryOnly = 2,
    /// From a file that is deleted.
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

/// State of a signature; numbers as in OCSF.
#[derive(FieldEnum, Clone, Copy, Debug, Default, PartialEq, Eq)]
#[event(crate = "crate")]
#[repr(u8)]
pub enum SignatureState {
    /// Not looked at.
    #[default]
    Unknown = 0,
    /// Good.
    Valid = 1,
    /// Out of its time.
    Expired = 2,
    /// Withdrawn.
    Revoked = 3,
    /// There is none.
    Unsigned = 4,
    /// By someone unknown.
    Untrusted = 6,
    /// By someone known to be bad.
    Distrusted = 7,
    /// Wrong.
    Bad = 9,
    /// Cannot be read.
    Broken = 10,
}

/// What a signature is.
#[derive(FieldEnum, Clone, Copy, Debug, Default, PartialEq, Eq)]
#[event(crate = "crate")]
#[repr(u8)]
pub enum SignatureKind {
    /// None.
    #[default]
    None = 0,
    /// Authenticode, in the file.
    Authenticode = 1,
    /// In a catalogue.
    Catalogue = 2,
    /// Integrity measurement of the kernel.
    Ima = 3,
    /// fs-verity.
    FsVerity = 4,
    /// Digest of the package.
    Package = 5,
    /// GPG signature of an AppImage.
    AppImage = 6,
}

/// Hardening of an image.
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
    NO_SEH = 256
)]
pub struct Hardening(pub u32);

/// A module was loaded.
#[derive(Event, Clone, Copy, Debug, Default)]
#[event(
    crate = "crate",
    name = "module.load",
    category = "module",
    level = "debug",
    text = "{path} was loaded by process {pid}"
)]
pub struct ModuleLoad<'a> {
    /// The process, for good.
    #[field(public)]
    pub process_key: ProcessKey,
    /// Process id.
    #[field(public)]
    pub pid: u32,
    /// The module's file.
    #[field(personal)]
    pub path: &'a str,
    /// First address.
    #[field(public)]
    pub base: u64,
    /// Address range that is mapped.
    #[field(public, unit = "bytes")]
    pub mapped: u64,
    /// How it came into memory.
    #[field(public)]
    pub load: LoadKind,
    /// What loaded it.
    #[field(personal)]
    pub loader: Option<&'a str>,
    /// SHA-256 of the file: joins it to its image.
    #[field(public)]
    pub sha256: Option<[u8; 32]>,
    /// Joins it to the launch.
    #[field(public)]
    pub correlation: CorrelationId,
}

/// Facts of an image, once for each hash and session.
#[derive(Event, Clone, Copy, Debug, Default)]
#[event(
    crate = "crate",
    name = "module.image",
    category = "module",
    level = "info",
    text = "{path} is {format} of {size} bytes"
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
    /// Hash of the imported names.
    #[field(public)]
    pub imphash: Option<[u8; 16]>,
    /// Fuzzy hash (TLSH or ssdeep), as text.
    #[field(public)]
    pub fuzzy_hash: Option<&'a str>,
    /// Where it is.
    #[field(personal)]
    pub path: &'a str,
    /// Its size.
    #[field(public, unit = "bytes")]
    pub size: u64,
    /// Its attributes.
    #[field(public)]
    pub attributes: FileAttributes,
    /// Permission bits.
    #[field(public)]
    pub mode: u32,
    /// When it was made.
    #[field(public)]
    pub created: Option<Timestamp>,
    /// When it was modified.
    #[field(public)]
    pub modified: Option<Timestamp>,
    /// Inode.
    #[field(public)]
    pub inode: u64,
    /// Device.
    #[field(public)]
    pub device: u64,
    /// User id of the owner.
    #[field(personal)]
    pub owner: u32,
    /// Package that owns it.
    #[field(public)]
    pub package: Option<&'a str>,
    /// The package's file is as it was shipped.
    #[field(public)]
    pub package_unmodified: Option<bool>,
    /// Format.
    #[field(public)]
    pub format: ImageFormat,
    /// Machine, as in the header.
    #[field(public)]
    pub machine: u16,
    /// Type of ELF, or characteristics of PE.
    #[field(public)]
    pub kind: u16,
    /// Subsystem of PE.
    #[field(public)]
    pub subsystem: Option<u16>,
    /// DLL characteristics of PE.
    #[field(public)]
    pub dll_characteristics: Option<u16>,
    /// Time stamp of PE.
    #[field(public)]
    pub link_time: Option<Timestamp>,
    /// Linker version of PE, major and minor byte.
    #[field(public)]
    pub linker_version: Option<u16>,
    /// Entry point.
    #[field(public)]
    pub entry: u64,
    /// Image base of PE.
    #[field(public)]
    pub image_base: Option<u64>,
    /// Names of the sections.
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
    /// Entropy of the sections, bits a byte.
    #[field(public)]
    pub section_entropy: &'a [f64],
    /// Imported libraries.
    #[field(public)]
    pub imports: &'a [&'a str],
    /// Number of imported names.
    #[field(public)]
    pub import_count: u32,
    /// Number of exported names.
    #[field(public)]
    pub export_count: u32,
    /// Hash of the Rich header.
    #[field(public)]
    pub rich_hash: Option<[u8; 16]>,
    /// Path of the debug information.
    #[field(personal)]
    pub debug_path: Option<&'a str>,
    /// GUID of the debug information.
    #[field(public)]
    pub debug_guid: Option<[u8; 16]>,
    /// Number of TLS callbacks.
    #[field(public)]
    pub tls_callbacks: Option<u16>,
    /// Where data after the image begins.
    #[field(public)]
    pub overlay_offset: Option<u64>,
    /// Size of data after the image.
    #[field(public, unit = "bytes")]
    pub overlay_size: Option<u64>,
    /// Checksum in the PE header.
    #[field(public)]
    pub checksum_declared: Option<u32>,
    /// Checksum as computed.
    #[field(public)]
    pub checksum_computed: Option<u32>,
    /// Company of the version resource.
    #[field(public)]
    pub company: Option<&'a str>,
    /// Product of the version resource.
    #[field(public)]
    pub product: Option<&'a str>,
    /// Description of the version resource.
    #[field(public)]
    pub description: Option<&'a str>,
    /// Original file name of the version resource.
    #[field(public)]
    pub original_name: Option<&'a str>,
    /// File version.
    #[field(public)]
    pub file_version: Option<&'a str>,
    /// Product version.
    #[field(public)]
    pub product_version: Option<&'a str>,
    /// Region: language of the version resource, or of the system.
    #[field(public)]
    pub region: Option<&'a str>,
    /// Interpreter of ELF or of a script.
    #[field(public)]
    pub interpreter: Option<&'a str>,
    /// Build id of ELF.
    #[field(public)]
    pub build_id: Option<&'a [u8]>,
    /// Search path of ELF.
    #[field(public)]
    pub rpath: Option<&'a str>,
    /// Hardening.
    #[field(public)]
    pub hardening: Hardening,
    /// Compression utilities (packers) it was made with.
    #[field(public)]
    pub packers: &'a [&'a str],
    /// How sure that is, percent.
    #[field(public, unit = "%")]
    pub packer_confidence: Option<u8>,
    /// What its signature is.
    #[field(public)]
    pub signature: SignatureKind,
    /// State of its signature.
    #[field(public)]
    pub signature_state: SignatureState,
    /// Who signed it.
    #[field(public)]
    pub signer: Option<&'a str>,
    /// Who issued the signer's certificate.
    #[field(public)]
    pub issuer: Option<&'a str>,
    /// Serial of the signer's certificate.
    #[field(public)]
    pub serial: Option<&'a [u8]>,
    /// Thumbprint of the signer's certificate.
    #[field(public)]
    pub thumbprint: Option<&'a [u8]>,
    /// The signer's certificate is valid from here.
    #[field(public)]
    pub signer_from: Option<Timestamp>,
    /// The signer's certificate is valid until here.
    #[field(public)]
    pub signer_until: Option<Timestamp>,
    /// When it was counter-signed.
    #[field(public)]
    pub countersigned: Option<Timestamp>,
    /// Why the signature could not be checked.
    #[field(public)]
    pub signature_error: Option<&'a str>,
}
