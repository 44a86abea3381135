# triga_warnings(TARGET): the warnings every triga target compiles with, as errors.
function(triga_warnings target)
  target_compile_options(${target} PRIVATE
    -Wall -Wextra -Wpedantic -Wshadow -Wconversion -Wsign-conversion -Wnon-virtual-dtor
    -Wold-style-cast -Wcast-align -Woverloaded-virtual -Werror)
endfunction()

# triga_python_warnings(TARGET): the same for targets that include Python.h, whose macros expand to C casts and
# whose method tables convert function pointers.
function(triga_python_warnings target)
  target_compile_options(${target} PRIVATE
    -Wall -Wextra -Wshadow -Wnon-virtual-dtor -Woverloaded-virtual -Werror
    -Wno-missing-field-initializers -Wno-cast-function-type
    # Objects hold C++ members; offsetof() in such a class is well defined in GCC and Clang.
    -Wno-invalid-offsetof)
endfunction()
