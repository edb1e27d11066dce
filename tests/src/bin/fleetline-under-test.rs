//! The binary `fleetline` with kill points, for crash tests.

fn main() -> std::process::ExitCode {
    fleetline::main()
}
