//! Arguments in, exit code out.

use std::process::ExitCode;

fn main() -> ExitCode {
    // Mesa's Vulkan layer that chooses a display's GPU writes errors to stderr where there is no session.
    // It is not needed then, unless somebody asks for it.
    let unset = |name| std::env::var_os(name).is_none();
    if cfg!(target_os = "linux") && unset("XDG_RUNTIME_DIR") && unset("MESA_VK_DEVICE_SELECT") {
        // SAFETY: no other thread runs yet that could read the environment.
        unsafe { std::env::set_var("NODEVICE_SELECT", "1") };
    }
    elbo::cli::main().into()
}
