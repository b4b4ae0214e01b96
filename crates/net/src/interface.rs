//! Sockets that are bound to a network interface.

use std::io;

use socket2::Socket;

/// Binds a socket to a network interface. It then sends and receives only through
/// this interface. Fails with a message for users if no interface has this name.
#[cfg(any(target_os = "linux", target_os = "android"))]
pub fn bind_to_interface(socket: &Socket, name: &str) -> io::Result<()> {
    let result = socket.bind_device(Some(name.as_bytes()));
    result.map_err(|e| match e.raw_os_error() {
        Some(code) if code == rustix::io::Errno::NODEV.raw_os_error() => {
            io::Error::other(format!("no network interface named {name}"))
        }
        _ => e,
    })
}

/// Returns an error, since only Linux can bind a socket to an interface.
#[cfg(not(any(target_os = "linux", target_os = "android")))]
pub fn bind_to_interface(_: &Socket, _: &str) -> io::Result<()> {
    Err(io::Error::new(
        io::ErrorKind::Unsupported,
        "--interface is not supported on this system",
    ))
}

#[cfg(all(test, any(target_os = "linux", target_os = "android")))]
mod tests {
    use super::*;
    use socket2::{Domain, Type};

    #[test]
    fn an_unknown_interface_is_named() {
        let socket = Socket::new(Domain::IPV4, Type::DGRAM, None).unwrap();
        let error = bind_to_interface(&socket, "no-such-if").unwrap_err();
        assert_eq!(error.to_string(), "no network interface named no-such-if");
    }
}
