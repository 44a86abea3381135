# Applies TRIGA_SANITIZE (a list such as address;undefined) to every target of the build.
if(TRIGA_SANITIZE)
  list(JOIN TRIGA_SANITIZE "," triga_sanitizers)
  add_compile_options(-fsanitize=${triga_sanitizers} -fno-omit-frame-pointer -fno-sanitize-recover=all)
  # Half the compile time of -O2 -g, and reports name the same lines.
  add_compile_options($<$<CONFIG:RelWithDebInfo>:-O1> $<$<CONFIG:RelWithDebInfo>:-g1>)
  add_link_options(-fsanitize=${triga_sanitizers})
endif()
