#!/usr/bin/env python3
"""Holds the dependency tree to the house rules, without a network: licences that may be shipped, one TLS and one
HTTP stack, nothing fetched from elsewhere than the registry."""

import json
import subprocess
import sys

ALLOWED = {
    "Apache-2.0", "Apache-2.0 WITH LLVM-exception", "MIT", "MIT-0", "BSD-2-Clause", "BSD-3-Clause", "BSL-1.0",
    "CC0-1.0", "ISC", "OpenSSL", "Unicode-3.0", "Unlicense", "Zlib", "0BSD",
    # For data: webpki-roots is Mozilla's list of authorities under it. It asks only that its text goes along.
    "CDLA-Permissive-2.0",
}
BANNED = {
    "openssl": "one TLS stack: rustls with aws-lc-rs",
    "openssl-sys": "one TLS stack: rustls with aws-lc-rs",
    "native-tls": "one TLS stack: rustls with aws-lc-rs",
    "ring": "one crypto library: aws-lc-rs",
    "reqwest": "one HTTP stack: hyper",
    "isahc": "one HTTP stack: hyper",
    "ureq": "one HTTP stack: hyper",
    "actix-http": "one HTTP stack: hyper",
    "async-std": "one runtime: tokio",
}
ONE_VERSION = {"hyper", "http", "http-body", "h2", "tokio", "rustls", "aws-lc-rs", "axum", "tower", "prometheus"}


def licensed(expression):
    """True if the SPDX expression leaves a choice that is allowed. Knows OR, AND and brackets."""
    tokens = expression.replace("/", " OR ").replace("(", " ( ").replace(")", " ) ").split()
    place = 0

    def alternatives():
        nonlocal place
        result = requirements()
        while place < len(tokens) and tokens[place] == "OR":
            place += 1
            result = requirements() or result
        return result

    def requirements():
        nonlocal place
        result = term()
        while place < len(tokens) and tokens[place] == "AND":
            place += 1
            result = term() and result
        return result

    def term():
        nonlocal place
        if tokens[place] == "(":
            place += 1
            result = alternatives()
            place += 1
            return result
        name = tokens[place]
        place += 1
        if place < len(tokens) and tokens[place] == "WITH":
            name = f"{name} WITH {tokens[place + 1]}"
            place += 2
        return name in ALLOWED

    return alternatives()


def main():
    command = ["cargo", "metadata", "--format-version", "1", "--locked", "--offline",
               "--filter-platform", "x86_64-unknown-linux-gnu"]
    metadata = json.loads(subprocess.run(command, check=True, capture_output=True, text=True).stdout)
    # Only what is built for this platform: the metadata also lists what a weak feature only mentions.
    tree = ["cargo", "tree", "--workspace", "--locked", "--offline", "--target", "x86_64-unknown-linux-gnu",
            "--edges", "normal,build,dev", "--prefix", "none", "--format", "{p}"]
    lines = subprocess.run(tree, check=True, capture_output=True, text=True).stdout.splitlines()
    used = {tuple(line.split()[:2]) for line in lines if line}
    packages = [package for package in metadata["packages"] if (package["name"], f"v{package['version']}") in used]
    faults, versions = [], {}
    for package in packages:
        name, version = package["name"], package["version"]
        versions.setdefault(name, []).append(version)
        if name in BANNED:
            faults.append(f"{name} {version} is in the tree: {BANNED[name]}")
        if package["source"] is None and package["id"] not in metadata["workspace_members"]:
            faults.append(f"{name} {version} comes from a path outside the workspace")
        if (package["source"] or "").startswith("git+"):
            faults.append(f"{name} {version} comes from a git repository")
        licence = package["license"] or ""
        if not licence or not licensed(licence):
            faults.append(f"{name} {version} has the licence `{licence}`")
    for name in sorted(ONE_VERSION & versions.keys()):
        if len(versions[name]) > 1:
            faults.append(f"{name} is there in {len(versions[name])} versions: {', '.join(versions[name])}")
    double = {name: found for name, found in versions.items() if len(found) > 1}
    print(f"{len(packages)} packages; more than one version: {double or 'none'}")
    for fault in faults:
        print(f"error: {fault}")
    sys.exit(1 if faults else 0)


if __name__ == "__main__":
    main()
