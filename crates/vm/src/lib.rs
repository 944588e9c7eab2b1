//! What a virtual machine sees and is: the traits a VM author implements.
