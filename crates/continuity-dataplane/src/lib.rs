//! Load, attach, pin, publish and read the kernel programs.
