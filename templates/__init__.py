"""Templates of everything that nestgen writes; read by `nestgen.codegen`."""
