//! Proxies from `--proxy`, `--proxy-user`, `--noproxy` and the environment.

use common::{Error, Io, Result};

use crate::cli::Cli;
use crate::policy::proxy::{self, NoProxy, Proxies, Proxy};

/// Resolves the options and the variables of the environment. An option
/// overrides them.
pub(super) fn resolve(cli: &Cli, io: &Io) -> Result<Proxies> {
    let parse = |name: &str, text: &str| -> Result<Option<Proxy>> {
        match text {
            "" => Ok(None),
            text => proxy::parse(text)
                .map(Some)
                // The value is not shown, since it may contain a password.
                .map_err(|e| Error::usage(format!("invalid value for '{name}': {e}"))),
        }
    };
    let from_env = |names: &[&str]| -> Result<Option<Proxy>> {
        for name in names {
            if let Some(text) = io.env(name).filter(|text| !text.is_empty()) {
                return parse(name, &text);
            }
        }
        Ok(None)
    };
    let mut option = match &cli.network.proxy {
        None => None,
        Some(text) => Some(parse("--proxy", text)?),
    };
    let user = cli.network.proxy_user.as_deref().map(split_user);
    if let (Some(Some(proxy)), Some(user)) = (&mut option, &user) {
        proxy.user = Some(user.clone());
    }
    let no_proxy = match &cli.network.noproxy {
        Some(list) => Some(list.clone()),
        None => io.env("no_proxy").or_else(|| io.env("NO_PROXY")),
    };
    let mut proxies = Proxies {
        option,
        ..Proxies::default()
    };
    if let Some(list) = no_proxy {
        proxies.no_proxy = NoProxy::parse(&list);
    }
    if proxies.option.is_none() {
        proxies.http = from_env(&["http_proxy"])?;
        proxies.https = from_env(&["https_proxy", "HTTPS_PROXY"])?;
        proxies.all = from_env(&["all_proxy", "ALL_PROXY"])?;
        for proxy in [&mut proxies.http, &mut proxies.https, &mut proxies.all] {
            if let (Some(proxy), Some(user)) = (proxy, &user) {
                proxy.user = Some(user.clone());
            }
        }
    }
    Ok(proxies)
}

/// Splits `USER:PASSWORD`; without a colon the password is empty.
fn split_user(text: &str) -> (String, String) {
    let (user, password) = text.split_once(':').unwrap_or((text, ""));
    (user.to_owned(), password.to_owned())
}
