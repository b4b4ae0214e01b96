//! The options of listening sockets, and of TLS.

use std::path::PathBuf;

use clap::Args;
use clap::builder::NonEmptyStringValueParser;

/// Options of listening sockets.
#[derive(Args, Debug)]
pub(crate) struct SocketArgs {
    /// Set SO_REUSEPORT, so that several processes can share the port
    #[arg(long)]
    pub(crate) reuse_port: bool,

    /// Listen only on this network interface, unless an operand names another
    #[arg(short = 'I', long, value_name = "IFACE", value_parser = NonEmptyStringValueParser::new())]
    pub(crate) interface: Option<String>,

    /// Set the permission bits of unix:PATH, in octal, such as 660 [default: from
    /// the umask]
    #[arg(long, value_name = "MODE", value_parser = mode)]
    pub(crate) mode: Option<u32>,

    /// Serve the socket passed as standard input by inetd, xinetd or systemd
    ///
    /// The socket is either a connection or a listening socket. Nothing is logged.
    #[arg(
        long,
        conflicts_with_all = ["addrs", "port_file", "ready_fd", "reuse_port", "udp"]
    )]
    pub(crate) inetd: bool,
}

/// Options for TLS.
#[derive(Args, Debug)]
pub(crate) struct TlsArgs {
    /// Use TLS with the certificate chain in this PEM file
    #[arg(
        long,
        value_name = "FILE",
        requires = "key",
        conflicts_with = "udp",
        hide = !cfg!(feature = "tls")
    )]
    pub(crate) cert: Option<PathBuf>,

    /// Read the private key of the certificate from this PEM file
    #[arg(
        long,
        value_name = "FILE",
        requires = "cert",
        hide = !cfg!(feature = "tls")
    )]
    pub(crate) key: Option<PathBuf>,
}

fn mode(text: &str) -> Result<u32, String> {
    let octal = !text.is_empty() && text.bytes().all(|b| matches!(b, b'0'..=b'7'));
    match u32::from_str_radix(text, 8) {
        Ok(mode) if octal && mode <= 0o777 => Ok(mode),
        _ => Err("must be octal digits from 0 to 777, such as 660".to_owned()),
    }
}

#[cfg(test)]
mod tests {
    use super::mode;

    #[test]
    fn a_mode_is_octal() {
        assert_eq!((mode("660"), mode("0600")), (Ok(0o660), Ok(0o600)));
        for bad in ["", "8", "1000", "+7", "rw", "0o600"] {
            assert!(mode(bad).is_err(), "{bad}");
        }
    }
}
