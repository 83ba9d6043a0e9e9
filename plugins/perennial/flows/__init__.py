"""What Perennial does, one function per task; reads like the picture in the README."""
