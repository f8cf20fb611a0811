# SPDX-License-Identifier: Apache-2.0
# Installs library, header, find_package(norn) and pkg-config files.
include(CMakePackageConfigHelpers)
install(TARGETS norn EXPORT nornTargets LIBRARY DESTINATION ${CMAKE_INSTALL_LIBDIR})
install(FILES ${PROJECT_SOURCE_DIR}/include/norn.h DESTINATION ${CMAKE_INSTALL_INCLUDEDIR})
install(DIRECTORY ${PROJECT_SOURCE_DIR}/include/norn DESTINATION ${CMAKE_INSTALL_INCLUDEDIR})
install(EXPORT nornTargets NAMESPACE norn:: DESTINATION ${CMAKE_INSTALL_LIBDIR}/cmake/norn)
configure_package_config_file(${PROJECT_SOURCE_DIR}/cmake/nornConfig.cmake.in ${PROJECT_BINARY_DIR}/nornConfig.cmake
                              INSTALL_DESTINATION ${CMAKE_INSTALL_LIBDIR}/cmake/norn)
write_basic_package_version_file(${PROJECT_BINARY_DIR}/nornConfigVersion.cmake COMPATIBILITY SameMinorVersion)
install(FILES ${PROJECT_BINARY_DIR}/nornConfig.cmake ${PROJECT_BINARY_DIR}/nornConfigVersion.cmake
        DESTINATION ${CMAKE_INSTALL_LIBDIR}/cmake/norn)
# Relative to its own place, so that what is installed may be moved (cmake --install --prefix).
file(RELATIVE_PATH NORN_PC_UP /${CMAKE_INSTALL_LIBDIR}/pkgconfig /)
string(REGEX REPLACE "/$" "" NORN_PC_UP "${NORN_PC_UP}")
configure_file(${PROJECT_SOURCE_DIR}/cmake/norn.pc.in ${PROJECT_BINARY_DIR}/norn.pc @ONLY)
install(FILES ${PROJECT_BINARY_DIR}/norn.pc DESTINATION ${CMAKE_INSTALL_LIBDIR}/pkgconfig)
