"""What tests share: real processes, and time under control."""
