# The rules of the house, as tests: no upward include, no Python outside its rooms, every header compiles alone.
find_package(Python3 REQUIRED COMPONENTS Interpreter)

add_test(NAME house.layering
  COMMAND ${Python3_EXECUTABLE} ${PROJECT_SOURCE_DIR}/cmake/check_layering.py ${PROJECT_SOURCE_DIR})

file(GLOB_RECURSE triga_headers CONFIGURE_DEPENDS RELATIVE ${PROJECT_SOURCE_DIR} ${PROJECT_SOURCE_DIR}/runtime/*.h)
list(FILTER triga_headers EXCLUDE REGEX "^runtime/embed/")
set(header_check_sources)
foreach(header IN LISTS triga_headers)
  string(REPLACE "/" "_" name ${header})
  set(source ${CMAKE_BINARY_DIR}/header_check/${name}.cpp)
  file(CONFIGURE OUTPUT ${source} CONTENT "#include \"${header}\"\n#include \"${header}\"\n")
  list(APPEND header_check_sources ${source})
endforeach()
add_library(triga_header_check OBJECT ${header_check_sources})
target_link_libraries(triga_header_check PRIVATE triga::runtime)
triga_warnings(triga_header_check)
set_target_properties(triga_header_check PROPERTIES UNITY_BUILD OFF)  # each header by itself
add_test(NAME house.headers_compile_alone
  COMMAND ${CMAKE_COMMAND} --build ${CMAKE_BINARY_DIR} --target triga_header_check)
