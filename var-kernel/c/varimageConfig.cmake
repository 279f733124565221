# find_package(varimage): the target varimage::varimage. This file lies in PREFIX/lib/cmake/varimage.
get_filename_component(VARIMAGE_PREFIX "${CMAKE_CURRENT_LIST_DIR}/../../.." ABSOLUTE)
if(NOT TARGET varimage::varimage)
    add_library(varimage::varimage SHARED IMPORTED)
    set_target_properties(varimage::varimage PROPERTIES
        IMPORTED_LOCATION "${VARIMAGE_PREFIX}/lib/libvarimage${CMAKE_SHARED_LIBRARY_SUFFIX}"
        INTERFACE_INCLUDE_DIRECTORIES "${VARIMAGE_PREFIX}/include")
endif()
