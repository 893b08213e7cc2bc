//! Secrets that stand encrypted in the configuration.

use crate::harness::clouds::Azurite;
use crate::harness::gateway::{BINARY, Gateway, Source, onrecord};
use crate::harness::load::Load;
use crate::harness::origin::Origin;
use std::io::Write as _;
use std::path::Path;
use std::process::{Command, Stdio};

/// A program with this on its standard input: whether it went well, what it printed, and its errors.
fn fed(program: &str, arguments: &[&str], folder: &Path, input: &[u8]) -> (bool, Vec<u8>, String) {
    let mut child = Command::new(program)
        .args(arguments)
        .current_dir(folder)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    child.stdin.take().unwrap().write_all(input).unwrap();
    let output = child.wait_with_output().unwrap();
    (output.status.success(), output.stdout, String::from_utf8_lossy(&output.stderr).into_owned())
}

/// As the reference's page says, but for the Base64 in one line.
fn by_openssl(folder: &Path, secret: &str) -> String {
    let encrypt = [
        "pkeyutl",
        "-encrypt",
        "-pubin",
        "-keyform",
        "PEM",
        "-inkey",
        "public.pem",
        "-pkeyopt",
        "rsa_padding_mode:oaep",
        "-pkeyopt",
        "rsa_oaep_md:sha256",
    ];
    let (good, bytes, errors) = fed("openssl", &encrypt, folder, secret.as_bytes());
    assert!(good, "{errors}");
    use base64::Engine as _;
    base64::engine::general_purpose::STANDARD.encode(bytes)
}

#[test]
fn the_command_and_openssl_make_secrets_that_the_gateway_reads_and_nobody_sees() {
    let folder = tempfile::tempdir().unwrap();
    let make = ["genpkey", "-algorithm", "RSA", "-pkeyopt", "rsa_keygen_bits:4096", "-out", "private.pem"];
    if Command::new("openssl").arg("version").output().is_err() {
        crate::harness::skip("encrypted", "openssl is not installed");
        return;
    }
    let openssl = |arguments: &[&str]| {
        let (good, _, errors) = fed("openssl", arguments, folder.path(), b"");
        assert!(good, "{errors}");
    };
    openssl(&make);
    openssl(&["pkey", "-in", "private.pem", "-pubout", "-out", "public.pem"]);
    let by_command = |input: &str| {
        fed(BINARY, &["encrypt-secret", "--key", "public.pem"], folder.path(), input.as_bytes())
    };
    let (good, text, _) = by_command("hunter2\n");
    assert!(good);
    let made = String::from_utf8(text).unwrap().trim_end().to_owned();
    for (input, told) in [("hunter2 \n", "white space"), ("", "empty"), (&*"x".repeat(447), "446")] {
        let (good, _, errors) = by_command(input);
        assert!(!good && errors.contains(told) && !errors.contains("hunter2"), "{errors}");
    }

    // What stands in the file is judged with it, and never repeated.
    let check = |secret: &str, more: &str| {
        let text = format!(
            "[[source]]\nname = \"a\"\nlisten = \"127.0.0.1:1\"\nupstream = \"http://127.0.0.1:2\"\n[[destination]]\n\
             name = \"d\"\ntype = \"azure\"\ncontainer = \"https://a.test/audit\"\nsas = {secret}\n{more}"
        );
        let file = folder.path().join("proxy.toml");
        std::fs::write(&file, text).unwrap();
        onrecord(&["check", "--config", &file.display().to_string()], &[])
    };
    let encrypted = |text: &str| format!("{{ encrypted = {text:?} }}");
    assert_eq!(check(&encrypted(&made), "").0, Some(0));
    for (secret, more, told) in [
        (encrypted(&format!("{made} ")), "", "base64 -w0"),
        (encrypted(&made[..200]), "", "has 512: is it cut off"),
        (encrypted("hunter2!"), "", "no Base64"),
        (format!("{{ encrypted = {made:?}, env = \"X\" }}"), "", "keep one of them"),
        (encrypted(&made), &*format!("[secrets]\nkey = {}\n", encrypted(&made)), "can't be used for the key"),
    ] {
        let (code, output) = check(&secret, more);
        assert!(code == Some(78) && output.contains(told) && !output.contains(&made[..100]), "{output}");
    }

    // A signature by OpenSSL delivers; one with a line end is told as such.
    let Some(azurite) = Azurite::start("encrypted") else { return };
    let origin = Origin::start();
    let sas = azurite.sas("cw", 24);
    let container = format!("{:?}", azurite.container("audit"));
    let key = folder.path().join("private.pem").display().to_string();
    let gateway = |sas: &str| {
        let sas = encrypted(sas);
        Gateway::builder()
            .source(Source::new("api", &origin.url()))
            .destination("azure", &[("type", "\"azure\""), ("container", &container), ("sas", &sas)])
            .set("secrets", "key", &format!("{{ file = {key:?} }}"))
            .set("log", "level", "\"trace\"")
            .set("server", "flush", "\"1s\"")
            .start()
    };
    let mut good = gateway(&by_openssl(folder.path(), &sas));
    Load::calm(1, 3).run(good.address());
    assert_eq!(good.stop().code(), Some(0));
    assert!(azurite.list().iter().any(|key| key.starts_with("log_source=api/")), "{}", good.log());
    let signature = sas.split("sig=").nth(1).unwrap();
    assert!(!good.log().contains(signature), "the signature is in the log");
    let bad = gateway(&by_openssl(folder.path(), &format!("{sas}\n")));
    crate::harness::until("the refusal", crate::harness::PATIENCE, || {
        bad.log().contains("the secret has white space before or after it").then_some(())
    });
}
