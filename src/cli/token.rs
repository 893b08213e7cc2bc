//! `onrecord token`: makes a token for the admin listener.

use super::print_error;
use crate::admin::{Role, make_token};
use crate::evidence::merkle::hex;
use clap::Args;
use std::fs::OpenOptions;
use std::io::{self, Write as _};
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::{Path, PathBuf};
use std::process::ExitCode;

/// What `onrecord token` takes.
#[derive(Debug, Args)]
pub struct TokenArgs {
    /// Whose it is: who did what is known by this name
    #[arg(long, value_name = "NAME", value_parser = token_name)]
    pub name: String,
    /// What it allows: to look, to look back as well, or to change something too
    #[arg(long, value_name = "ROLE", value_parser = ["viewer", "auditor", "operator"])]
    pub role: String,
    /// Where the token goes; must not be there yet
    #[arg(long, value_name = "FILE")]
    pub out: Option<PathBuf>,
}

/// A name as the configuration takes it.
fn token_name(text: &str) -> Result<String, String> {
    let fits = text.len() <= 64
        && text.starts_with(|c: char| c.is_ascii_alphanumeric())
        && text.chars().all(|c| c.is_ascii_alphanumeric() || matches!(c, '.' | '_' | '-'))
        && !text.contains("..");
    if fits { Ok(text.to_owned()) } else { Err("letters, digits, `.`, `_` and `-`, at most 64".to_owned()) }
}

/// Makes a token, and the line of the configuration that lets it in.
pub(super) fn run(args: &TokenArgs) -> ExitCode {
    let Ok((token, sha256)) = make_token() else {
        eprintln!("onrecord: the system gives no random bytes");
        return ExitCode::FAILURE;
    };
    let role = Role::ALL.into_iter().find(|role| role.as_str() == args.role).unwrap_or(Role::Viewer);
    let line = format!(
        "{{ name = \"{}\", role = \"{}\", sha256 = \"{}\" }}",
        args.name,
        role.as_str(),
        hex(&sha256)
    );
    let Some(path) = &args.out else {
        // The token may go straight into a file or a vault; the line for people stays visible.
        println!("{}", *token);
        eprintln!("in [admin] tokens: {line}");
        return ExitCode::SUCCESS;
    };
    match write(path, &token) {
        Ok(()) => {
            println!("{line}");
            ExitCode::SUCCESS
        }
        Err(source) => {
            print_error(&io::Error::new(source.kind(), format!("can't make {}: {source}", path.display())));
            ExitCode::FAILURE
        }
    }
}

fn write(path: &Path, token: &str) -> io::Result<()> {
    let mut file = OpenOptions::new().write(true).create_new(true).mode(0o600).open(path)?;
    file.write_all(format!("{token}\n").as_bytes())?;
    file.sync_all()
}
