//! Certificates of servers.

use std::net::IpAddr;

use crate::{CorrelationId, Event, Timestamp};

/// The public certificate of a server, once for each and session.
#[derive(Event, Clone, Copy, Debug, Default)]
#[event(
    crate = "crate",
    name = "certificate.seen",
    category = "certificate",
    level = "info",
    text = "certificate of {subject} by {issuer}"
)]
pub struct CertificateSeen<'a> {
    /// SHA-256 of its DER form.
    #[field(public)]
    pub certificate_id: [u8; 32],
    /// SHA-1 of its DER form.
    #[field(public)]
    pub sha1: Option<[u8; 20]>,
    /// Version.
    #[field(public)]
    pub version: u8,
    /// Serial number.
    #[field(public)]
    pub serial: &'a [u8],
    /// Subject.
    #[field(public)]
    pub subject: &'a str,
    /// Issuer.
    #[field(public)]
    pub issuer: &'a str,
    /// Valid from.
    #[field(public)]
    pub not_before: Timestamp,
    /// Valid until.
    #[field(public)]
    pub not_after: Timestamp,
    /// DNS names.
    #[field(public)]
    pub dns_names: &'a [&'a str],
    /// Addresses.
    #[field(public)]
    pub addresses: &'a [IpAddr],
    /// Mail addresses.
    #[field(personal)]
    pub emails: &'a [&'a str],
    /// Algorithm of the key.
    #[field(public)]
    pub key_algorithm: &'a str,
    /// Length of the key.
    #[field(public, unit = "bits")]
    pub key_bits: u32,
    /// Curve.
    #[field(public)]
    pub curve: Option<&'a str>,
    /// SHA-256 of the key (pin).
    #[field(public)]
    pub spki_sha256: Option<[u8; 32]>,
    /// Algorithm of the signature.
    #[field(public)]
    pub signature_algorithm: &'a str,
    /// Key usage.
    #[field(public)]
    pub key_usage: &'a [&'a str],
    /// Extended key usage.
    #[field(public)]
    pub extended_usage: &'a [&'a str],
    /// It may issue others.
    #[field(public)]
    pub is_ca: bool,
    /// How many may follow it.
    #[field(public)]
    pub path_length: Option<u32>,
    /// Name constraints.
    #[field(public)]
    pub name_constraints: &'a [&'a str],
    /// Id of the issuer's key.
    #[field(public)]
    pub authority_key_id: Option<&'a [u8]>,
    /// Id of its key.
    #[field(public)]
    pub subject_key_id: Option<&'a [u8]>,
    /// OCSP and AIA URLs.
    #[field(public)]
    pub ocsp_urls: &'a [&'a str],
    /// CRL URLs.
    #[field(public)]
    pub crl_urls: &'a [&'a str],
    /// Signed certificate timestamps.
    #[field(public)]
    pub sct_count: u32,
    /// Policies.
    #[field(public)]
    pub policies: &'a [&'a str],
    /// Extended validation.
    #[field(public)]
    pub extended_validation: bool,
    /// Signed by itself.
    #[field(public)]
    pub self_signed: bool,
    /// Ids of the chain.
    #[field(public)]
    pub chain: &'a [[u8; 32]],
    /// The chain is complete.
    #[field(public)]
    pub chain_complete: bool,
    /// Result of the check.
    #[field(public)]
    pub trust: &'a str,
    /// Store that was asked.
    #[field(public)]
    pub store: Option<&'a str>,
    /// What is wrong.
    #[field(public)]
    pub errors: &'a [&'a str],
    /// State of revocation.
    #[field(public)]
    pub revocation: Option<&'a str>,
    /// Original certificate, if the product substituted this one.
    #[field(public)]
    pub substituted_id: Option<[u8; 32]>,
    /// Host that showed it.
    #[field(personal)]
    pub host: Option<&'a str>,
    /// Its DER form.
    #[field(public, max = 16384)]
    pub der: Option<&'a [u8]>,
    /// Joins it to what it belongs to.
    #[field(public)]
    pub correlation: CorrelationId,
}
