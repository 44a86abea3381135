# Applies TRIGA_SANITIZE (a list such as address;undefined) to every target of the build.
if(TRIGA_SANITIZE)
  list(JOIN TRIGA_SANITIZE "," triga_sanitizers)
  add_compile_options(-fsanitize=${triga_sanitizers} -fno-omit-frame-pointer -fno-sanitize-recover=all)
  add_link_options(-fsanitize=${triga_sanitizers})
endif()
