//! Public certificates of servers.

use std::net::IpAddr;

use crate::{CorrelationId, Event, FieldEnum, ProcessKey, Timestamp};

/// Whether a certificate is trusted.
#[derive(FieldEnum, Clone, Copy, Debug, Default, PartialEq, Eq)]
#[event(crate = "crate")]
#[repr(u8)]
pub enum TrustResult {
    /// Not checked.
    #[default]
    Unknown = 0,
    /// Trusted.
    Trusted = 1,
    /// Not issued by anyone trusted.
    Untrusted = 2,
    /// Explicitly distrusted.
    Distrusted = 3,
    /// Out of its time.
    Expired = 4,
    /// Revoked.
    Revoked = 5,
    /// For another host.
    WrongHost = 6,
    /// Its signature or encoding is wrong.
    Invalid = 7,
}

/// What is known about a certificate's revocation.
#[derive(FieldEnum, Clone, Copy, Debug, Default, PartialEq, Eq)]
#[event(crate = "crate")]
#[repr(u8)]
pub enum RevocationState {
    /// Not checked, or nobody answered.
    #[default]
    Unknown = 0,
    /// Not revoked.
    Good = 1,
    /// Revoked.
    Revoked = 2,
}

/// The public certificate of a server. Recorded once for each certificate and session; connections, visits and
/// downloads refer to it by `certificate_id`.
#[derive(Event, Clone, Copy, Debug, Default)]
#[event(
    crate = "crate",
    name = "certificate.seen",
    category = "certificate",
    level = "info",
    text = "certificate of {subject}, issued by {issuer}, valid until {not_after}: {trust}"
)]
pub struct CertificateSeen<'a> {
    /// Identity: SHA-256 of the DER form.
    #[field(public)]
    pub certificate_id: [u8; 32],
    /// SHA-1 of the DER form.
    #[field(public)]
    pub sha1: Option<[u8; 20]>,
    /// Version of X.509, 1 to 3.
    #[field(public)]
    pub version: u8,
    /// Serial number, most significant byte first.
    #[field(public)]
    pub serial: &'a [u8],
    /// Distinguished name of the subject (CN, O, OU, C), as RFC 4514 writes it.
    #[field(public)]
    pub subject: &'a str,
    /// Distinguished name of the issuer, as RFC 4514 writes it.
    #[field(public)]
    pub issuer: &'a str,
    /// When it begins to be valid.
    #[field(public)]
    pub not_before: Timestamp,
    /// When it stops being valid.
    #[field(public)]
    pub not_after: Timestamp,
    /// Subject's alternative names: hosts.
    #[field(public)]
    pub dns_names: &'a [&'a str],
    /// Subject's alternative names: addresses.
    #[field(public)]
    pub addresses: &'a [IpAddr],
    /// Subject's alternative names: mail addresses.
    #[field(personal)]
    pub emails: &'a [&'a str],
    /// Algorithm of the public key, for example "RSA".
    #[field(public)]
    pub key_algorithm: &'a str,
    /// Length of the public key.
    #[field(public, unit = "bits")]
    pub key_bits: u32,
    /// Curve of the public key, for example "P-256".
    #[field(public)]
    pub curve: Option<&'a str>,
    /// SHA-256 of the public key's info (the pin).
    #[field(public)]
    pub spki_sha256: Option<[u8; 32]>,
    /// Algorithm of the issuer's signature, for example "ecdsa-with-SHA256".
    #[field(public)]
    pub signature_algorithm: &'a str,
    /// What the key may be used for, for example "digitalSignature".
    #[field(public)]
    pub key_usage: &'a [&'a str],
    /// Purposes that it was issued for, for example "serverAuth".
    #[field(public)]
    pub extended_usage: &'a [&'a str],
    /// Whether it may issue other certificates (basic constraints).
    #[field(public)]
    pub is_ca: bool,
    /// How many issuers may follow it (basic constraints); absent if there is no limit.
    #[field(public)]
    pub path_length: Option<u32>,
    /// Names that it may issue for; excluded ones begin with "!".
    #[field(public)]
    pub name_constraints: &'a [&'a str],
    /// Identifier of the issuer's key.
    #[field(public)]
    pub authority_key_id: Option<&'a [u8]>,
    /// Identifier of its own key.
    #[field(public)]
    pub subject_key_id: Option<&'a [u8]>,
    /// URLs of OCSP responders.
    #[field(public)]
    pub ocsp_urls: &'a [&'a str],
    /// URLs of the issuer's certificate.
    #[field(public)]
    pub issuer_urls: &'a [&'a str],
    /// URLs of revocation lists.
    #[field(public)]
    pub crl_urls: &'a [&'a str],
    /// Number of signed certificate timestamps.
    #[field(public)]
    pub sct_count: u32,
    /// Object identifiers of its policies, in dotted form.
    #[field(public)]
    pub policies: &'a [&'a str],
    /// Whether it was issued by extended validation.
    #[field(public)]
    pub extended_validation: bool,
    /// Whether it issued itself.
    #[field(public)]
    pub self_signed: bool,
    /// Identities of the chain's certificates, this one first.
    #[field(public)]
    pub chain: &'a [[u8; 32]],
    /// Whether the chain reaches a root.
    #[field(public)]
    pub chain_complete: bool,
    /// Whether it is trusted.
    #[field(public)]
    pub trust: TrustResult,
    /// Trust store that was asked, for example "system".
    #[field(public)]
    pub store: Option<&'a str>,
    /// All that is wrong with it.
    #[field(public)]
    pub errors: &'a [&'a str],
    /// Whether it is revoked.
    #[field(public)]
    pub revocation: RevocationState,
    /// Identity of the server's own certificate, if the product substituted this one to look into TLS.
    #[field(public)]
    pub substituted_id: Option<[u8; 32]>,
    /// Host that showed it.
    #[field(personal)]
    pub host: Option<&'a str>,
    /// Port of the server, 1 to 65535.
    #[field(public)]
    pub port: Option<u16>,
    /// The DER form itself.
    #[field(public, max = 16384)]
    pub der: Option<&'a [u8]>,
    /// Stable key of the process that it was shown to first; absent if it is not known.
    #[field(public)]
    pub process_key: Option<ProcessKey>,
    /// Story it belongs to: that of the connection that showed it first.
    #[field(public)]
    pub correlation: CorrelationId,
}
