//! The `ocellus` binary: parses the command line and hands over.

#![forbid(unsafe_code)]

fn main() -> std::process::ExitCode {
    ocellus::cli::main()
}
