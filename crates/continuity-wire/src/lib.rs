//! Layout of the maps shared by the kernel programs and user space.
