#include <stddef.h>
#include <stdint.h>

int Fuzz_main(int count, char **arguments);
