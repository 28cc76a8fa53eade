//! D-Bus, as far as collectors ask on it: calls with a time limit, over a socket whose place is known.

use serde::Serialize;
use zbus::{Connection, block_on};

use super::context::Context;

/// A connection to a bus.
#[derive(Debug)]
pub(super) struct Bus(Connection);

impl Bus {
    /// The system's. A problem is noted if there is none.
    pub(super) fn system(context: &Context) -> Option<Self> {
        Self::at(context, "/run/dbus/system_bus_socket", "the system bus")
    }

    /// That of the user's own session.
    pub(super) fn session(context: &Context) -> Option<Self> {
        let uid = rustix::process::geteuid().as_raw();
        Self::at(context, &format!("/run/user/{uid}/bus"), "the bus of your session")
    }

    fn at(context: &Context, socket: &str, what: &str) -> Option<Self> {
        if !context.root().has(socket) {
            context.problem(socket, &format!("not found: {what} does not run"));
            return None;
        }
        // A byte that an address may not have as it is: only a made-up root has one.
        let path = context.root().real(socket);
        let address = format!("unix:path={}", path.display());
        let connected = block_on(
            zbus::connection::Builder::address(address.as_str()).method_timeout(context.left()).build(),
        );
        match connected {
            Ok(connection) => Some(Self(connection)),
            Err(e) => {
                context.problem(what, &e.to_string());
                None
            }
        }
    }

    /// Calls a method.
    pub(super) fn call<B, R>(
        &self,
        service: &str,
        path: &str,
        interface: &str,
        method: &str,
        body: &B,
    ) -> Result<R, String>
    where
        B: Serialize + zbus::DynamicType,
        R: for<'d> zbus::wire::DynamicDeserialize<'d>,
    {
        block_on(async {
            let call = self.0.call_method(Some(service), path, Some(interface), method, body);
            let reply = call.await.map_err(|e| e.to_string())?;
            reply.body().deserialize().map_err(|e| e.to_string())
        })
    }
}
