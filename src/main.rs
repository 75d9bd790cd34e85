//! The `dragnext` command.

fn main() -> std::process::ExitCode {
    dragnext::cli::main()
}
