//! Who uses the computer, and whose home may be looked into.

use std::collections::BTreeMap;

use super::tree::Tree;

/// Longest user database that is read, in bytes.
const MAX_PASSWD: u64 = 4 << 20;
/// Most homes that are looked into.
const MAX_HOMES: usize = 200;

/// A home.
#[derive(Debug)]
pub(super) struct Home {
    pub(super) user: String,
    pub(super) uid: u32,
    pub(super) tree: Tree,
}

/// The users.
#[derive(Debug, Default)]
pub(super) struct Users {
    names: BTreeMap<u32, String>,
    pub(super) homes: Vec<Home>,
    /// Homes that are not looked into, and why.
    pub(super) closed: Vec<(String, String)>,
}

impl Users {
    /// Those of a system. Without root only the own home is looked into.
    pub(super) fn of(root: &Tree, is_real: bool) -> Self {
        let mut users = Self::default();
        let own = rustix::process::geteuid().as_raw();
        let passwd = root.read("/etc/passwd", MAX_PASSWD).map(|c| c.bytes).unwrap_or_default();
        let own_home =
            std::env::var("HOME").ok().filter(|home| is_real && home.len() > 1 && home.starts_with('/'));
        let mut others = 0_u32;
        for line in String::from_utf8_lossy(&passwd).lines() {
            let parts: Vec<&str> = line.split(':').collect();
            let [name, _, uid, _, _, home, ..] = parts[..] else { continue };
            let Ok(uid) = uid.parse::<u32>() else { continue };
            users.names.entry(uid).or_insert_with(|| name.to_owned());
            let is_person = uid == own || uid == 0 || (1000..65_000).contains(&uid);
            // Below the root itself are no homes.
            if !is_person || !home.starts_with('/') || home.trim_matches('/').is_empty() {
                continue;
            }
            if own != 0 && is_real && uid != own {
                others += u32::from(uid != 0);
                continue;
            }
            let home = own_home.as_deref().filter(|_| uid == own).unwrap_or(home);
            users.add(root, name, uid, home);
        }
        // Users of a directory service are not in the file.
        if is_real && !users.homes.iter().any(|h| h.uid == own) {
            let name = std::env::var("USER").unwrap_or_else(|_| own.to_string());
            users.names.entry(own).or_insert_with(|| name.clone());
            if let Some(home) = own_home {
                users.add(root, &name, own, &home);
            }
        }
        if others != 0 {
            users.closed.push((
                format!("{others} other users"),
                "only root may look into the homes of others; run it as root to have them too".into(),
            ));
        }
        users
    }

    fn add(&mut self, root: &Tree, name: &str, uid: u32, home: &str) {
        if self.homes.len() == MAX_HOMES || self.homes.iter().any(|h| h.tree.shown("") == format!("{home}/"))
        {
            return;
        }
        match root.home(home) {
            Ok(tree) => self.homes.push(Home { user: name.to_owned(), uid, tree }),
            Err(e) if e.kind() == std::io::ErrorKind::NotFound => {}
            Err(e) => self.closed.push((name.to_owned(), e.to_string())),
        }
    }

    /// A user's name.
    pub(super) fn name(&self, uid: u32) -> Option<&str> {
        self.names.get(&uid).map(String::as_str)
    }
}
