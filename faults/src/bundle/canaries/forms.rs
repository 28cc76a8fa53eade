//! What canaries look like, in the words around them; and what looks a little like one and is harmless.

use std::net::{Ipv4Addr, Ipv6Addr};

use crate::random::Random;

/// One canary.
pub(super) struct Canary {
    pub(super) kind: &'static str,
    /// Secret: it must be nowhere. Else personal: it has a pseudonym.
    pub(super) is_secret: bool,
    /// What is searched for.
    pub(super) needle: String,
    /// The needle in the words around it.
    pub(super) text: String,
}

const LOWER: &[u8] = b"abcdefghijklmnopqrstuvwxyz";
const DIGITS: &[u8] = b"0123456789";
const UPPER: &[u8] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZ234567";
const MIXED: &[u8] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789";
const BECH: &[u8] = b"QPZRY9X8GF2TVDW0S3JN54KHCE6MUA7L";

fn of(random: &mut Random, from: &[u8], len: usize) -> String {
    (0..len).map(|_| char::from(from[random.below(from.len() as u64) as usize])).collect()
}

/// Makes one.
type Make = fn(&mut Random) -> String;
/// A kind of secret: the words around it, `{}` where it stands, and how it is made.
type Secret = (&'static str, &'static [&'static str], Make);

const SECRETS: [Secret; 19] = [
    (
        "password",
        &[
            "password={}",
            "password: {}",
            "\"password\": \"{}\"",
            "DB_PASSWORD='{}'",
            "<password>{}</password>",
            "db.password = {}",
            "mysqldump --password={} --all",
            "net use --password {}",
            "passwd={};next=1",
            "{\"user\":\"x\",\"passwd\":\"{}\"}",
            "Server=x;Pwd={};",
        ],
        |r| of(r, MIXED, 14),
    ),
    (
        "token",
        &[
            "api_key={}",
            "apikey: {}",
            "\"apiKey\": \"{}\"",
            "client_secret={}",
            "X-Api-Key: {}",
            "access_token={}&x=1",
            "refresh_token: {}",
            "export API_TOKEN={}",
            "\"auth_token\" : \"{}\"",
        ],
        |r| of(r, MIXED, 32),
    ),
    (
        "basic",
        &[
            "Authorization: Basic {}",
            "\"authorization\": \"Basic {}\"",
            "curl -H 'Authorization: Basic {}' x",
            "Proxy-Authorization: Basic {}",
        ],
        |r| of(r, MIXED, 24),
    ),
    (
        "bearer",
        &["authorization: Bearer {}", "sent Bearer {} to the server", "curl -H \"Authorization: Bearer {}\""],
        |r| of(r, MIXED, 30),
    ),
    ("cookie", &["Cookie: sid={}; theme=dark", "cookie: a=1; session={}"], |r| of(r, MIXED, 26)),
    ("set-cookie", &["Set-Cookie: id={}; HttpOnly", "set-cookie: sid={}"], |r| of(r, MIXED, 26)),
    (
        "jwt",
        &["got eyJhbGciOiJIUzI1NiJ9.eyJ{}.dozjgNryP4J3jVmN", "{\"t\":\"eyJhbGciOiJIUzI1NiJ9.eyJ{}.x7Yab\"}"],
        |r| of(r, MIXED, 40),
    ),
    ("aws-id", &["key {} was used", "aws_access_key_id = {}"], |r| format!("AKIA{}", of(r, UPPER, 16))),
    ("aws-secret", &["aws_secret_access_key = {}", "AWS_SECRET_ACCESS_KEY={}"], |r| of(r, MIXED, 40)),
    ("github", &["cloned with {}", "https://x-access-token:{}@github.com/a/b"], |r| {
        format!("ghp_{}", of(r, MIXED, 36))
    }),
    ("gitlab", &["PRIVATE-TOKEN {}", "pushed by {}."], |r| format!("glpat-{}", of(r, MIXED, 20))),
    ("slack", &["hook {} failed", "bot={}"], |r| format!("xoxb-{}-{}", of(r, DIGITS, 12), of(r, MIXED, 24))),
    ("google", &["maps?key={}", "used {} for maps"], |r| format!("AIza{}", of(r, MIXED, 35))),
    ("stripe", &["charged with {}", "stripe: {}"], |r| format!("sk_live_{}", of(r, MIXED, 24))),
    ("npm", &["//registry/:_authToken={}", "published with {}"], |r| format!("npm_{}", of(r, MIXED, 36))),
    (
        "url-credentials",
        &["https://bob:{}@host.example/x", "ftp://backup:{}@files.example", "postgres://app:{}@db/main"],
        |r| of(r, MIXED, 16),
    ),
    (
        "url-parameter",
        &["GET /x?sig={}&ok=1", "https://a.example/reset?token={}", "/cb?code=1&access_token={}"],
        |r| of(r, MIXED, 28),
    ),
    (
        "private-key",
        &[
            "-----BEGIN RSA PRIVATE KEY-----\n{}\n-----END RSA PRIVATE KEY-----",
            "-----BEGIN OPENSSH PRIVATE KEY-----\n{}\nAAAA\n-----END OPENSSH PRIVATE KEY-----",
        ],
        |r| of(r, MIXED, 64),
    ),
    ("age-key", &["AGE-SECRET-KEY-1{}", "identity AGE-SECRET-KEY-1{} read"], |r| of(r, BECH, 58)),
];

/// A kind of personal value: as a secret, but it is known beforehand if its name says so.
const PERSONAL: [Secret; 9] = [
    ("mail", &["mail from <{}> to you", "to={}", "\"{}\" wrote"], |r| {
        format!("{}.{}@{}.example", of(r, LOWER, 7), of(r, LOWER, 9), of(r, LOWER, 8))
    }),
    (
        "home",
        &["opened /home/{}/notes.txt", "C:\\Users\\{}\\Desktop", "cd /home/{}", "file:///home/{}/x.pdf"],
        |r| of(r, LOWER, 10),
    ),
    ("known-user", &["session of {} ended", "user={}", "({})"], |r| of(r, LOWER, 11)),
    ("known-host", &["connected to {}:22", "host {} is up", "<{}>"], |r| {
        format!("{}-{}.corp.example", of(r, LOWER, 8), of(r, DIGITS, 3))
    }),
    ("ipv4", &["from {} port 22", "{}:443", "[{}]", "addr={};"], |r| {
        loop {
            let ip = Ipv4Addr::from(r.next() as u32);
            if (1..=223).contains(&ip.octets()[0]) && !ip.is_loopback() {
                return ip.to_string();
            }
        }
    }),
    ("ipv6", &["from {} port 22", "[{}]:443", "addr={};"], |r| {
        Ipv6Addr::from(0x2001 << 112 | u128::from(r.next()) << 48 | u128::from(r.next() as u32) | 1)
            .to_string()
    }),
    ("mac", &["eth0 {} up", "ether {}", "\"{}\""], |r| {
        (0..6).map(|_| format!("{:02x}", r.next() as u8)).collect::<Vec<_>>().join(":")
    }),
    ("card", &["paid with {}.", "card {} declined"], |r| {
        let digits = format!("4{}", of(r, DIGITS, 14));
        (0..10).map(|last| format!("{digits}{last}")).find(|number| luhn(number)).unwrap_or_default()
    }),
    ("iban", &["to account {}", "IBAN: {}"], |r| {
        let rest = of(r, DIGITS, 18);
        // ISO 13616: the check digits make the remainder 1.
        let value: u128 = format!("{rest}131400").parse().unwrap_or(0);
        format!("DE{:02}{rest}", 98 - value % 97)
    }),
];

fn luhn(number: &str) -> bool {
    let sum: u32 = number
        .bytes()
        .rev()
        .enumerate()
        .map(|(place, digit)| (u32::from(digit - b'0'), place % 2))
        .map(|(digit, odd)| if odd == 0 { digit } else { digit * 2 / 10 + digit * 2 % 10 })
        .sum();
    sum.is_multiple_of(10)
}

impl Canary {
    /// The next of all kinds in turn.
    pub(super) fn new(number: usize, random: &mut Random) -> Self {
        let kinds = SECRETS.len() + PERSONAL.len();
        let place = number % kinds;
        let is_secret = place < SECRETS.len();
        let (kind, words, make) = if is_secret { SECRETS[place] } else { PERSONAL[place - SECRETS.len()] };
        let needle = make(random);
        let text = words[number / kinds % words.len()].replacen("{}", &needle, 1);
        Self { kind, is_secret, needle, text }
    }
}

/// Harmless texts by form, and how they are made.
pub(super) const HARMLESS: [(&str, Make); 20] = [
    ("version of three numbers", |r| {
        format!("version {}.{}.{} started", r.below(20), r.below(99), r.below(99))
    }),
    ("version of four numbers", |r| {
        format!("updated to {}.{}.{}.{}", r.below(20), r.below(200), r.below(2000), r.below(100))
    }),
    ("time", |r| {
        format!(
            "at 2026-11-{:02}T{:02}:{:02}:{:02}.123456Z",
            1 + r.below(28),
            r.below(24),
            r.below(60),
            r.below(60)
        )
    }),
    ("sha-256", |r| format!("sha256 {:016x}{:016x}{:016x}{:016x}", r.next(), r.next(), r.next(), r.next())),
    ("uuid", |r| {
        format!(
            "{:08x}-{:04x}-4{:03x}-a{:03x}-{:012x}",
            r.next() as u32,
            r.next() as u16,
            r.below(4096),
            r.below(4096),
            r.next() >> 16
        )
    }),
    ("number of 16 digits", |r| format!("offset {}{}", 2 + r.below(5), of(r, DIGITS, 15))),
    ("size", |r| format!("{} bytes of {}", r.next() >> 20, r.next() >> 10)),
    ("hexadecimal", |r| format!("at 0x{:x} in thread 0x{:x}", r.next(), r.next())),
    ("hex dump", |r| {
        format!(
            "{:08x}  {:02x} {:02x} {:02x} {:02x}",
            r.next() as u32,
            r.next() as u8,
            r.next() as u8,
            r.next() as u8,
            r.next() as u8
        )
    }),
    ("object identifier", |r| format!("1.3.6.1.4.1.{}.{}.{}", r.below(50_000), r.below(50), r.below(50))),
    ("path of the system", |r| format!("/usr/lib/x86_64-linux-gnu/lib{}.so.{}", of(r, LOWER, 6), r.below(9))),
    ("name in code", |r| {
        format!(
            "std::{}::{} at src/{}.rs:{}",
            of(r, LOWER, 5),
            of(r, LOWER, 6),
            of(r, LOWER, 7),
            r.below(900)
        )
    }),
    ("words of passwords", |r| {
        ["the password was changed", "password: none", "enter your password", "no password is set"]
            [r.below(4) as usize]
            .into()
    }),
    ("words of tokens", |r| {
        format!("{} tokens were parsed, secret santa, key frame {}", r.below(100), r.below(100))
    }),
    ("user id of the system", |r| format!("uid={} gid={} euid=0", r.below(999), r.below(999))),
    ("package", |r| {
        format!(
            "lib{} (>= {}.{}-{}+deb13u{})",
            of(r, LOWER, 6),
            r.below(9),
            r.below(99),
            r.below(9),
            r.below(5)
        )
    }),
    ("address of a device", |r| format!("pci 0000:{:02x}:{:02x}.{}", r.below(256), r.below(32), r.below(8))),
    ("base64", |r| format!("data {}==", of(r, MIXED, 62))),
    ("time of a clock", |r| {
        format!(
            "{:02}:{:02}:{:02} up {} days, {}:{:02}",
            r.below(24),
            r.below(60),
            r.below(60),
            r.below(400),
            r.below(24),
            r.below(60)
        )
    }),
    ("log of the kernel", |r| {
        format!(
            "[{:5}.{:06}] usb {}-{}: new high-speed USB device number {}",
            r.below(99_999),
            r.below(1_000_000),
            r.below(9),
            r.below(9),
            r.below(99)
        )
    }),
];
