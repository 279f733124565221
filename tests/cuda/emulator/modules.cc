// Modules and their functions: a shared object's, or names in a program's text.
#include <dlfcn.h>

#include "driver.h"

#define TEXT(name) #name
#define NAME(name) TEXT(name)

static int load(Module* module) {
    const char* path = module->image.c_str() + sizeof SHARED_OBJECT - 1;
    module->library = dlopen(path, RTLD_NOW | RTLD_LOCAL);
    if (!module->library) return failure(INVALID, dlerror());
    auto launch = (LaunchKernel* const*)dlsym(module->library, NAME(KERNEL_LAUNCH));
    auto kernel = (const KernelEntry*)dlsym(module->library, NAME(KERNEL_TABLE));
    for (; kernel->name; kernel++)
        module->functions[kernel->name].reset(new Function{kernel->name, kernel, *launch});
    return OK;
}

extern "C" {

int cuModuleLoadData(Module** module, const void* image) {
    Locked locked;
    if (capturing()) wrong("kernels are loaded within a capture");
    auto made = std::make_unique<Module>(Module{current(), (const char*)image});
    bool is_object = made->image.rfind(SHARED_OBJECT, 0) == 0;
    if (is_object != (made->gpu->kind == COMPUTES)) return failure(INVALID, "an image for another GPU");
    if (is_object)
        if (int failed = load(made.get())) return failed;
    return made->gpu->modules++, *module = made.release(), OK;
}
int cuModuleUnload(Module* module) {
    Locked locked;
    module->gpu->modules--;
    if (module->library) dlclose(module->library);
    return delete module, OK;
}
int cuModuleGetFunction(Function** function, Module* module, const char* name) {
    Locked locked;
    auto& found = module->functions[name];
    if (!found && (module->library || module->image.find(" void " + std::string(name) + "(") == std::string::npos)) {
        module->functions.erase(name);
        if (!module->library) wrong("a kernel that its text does not have");
        return failure(NOT_FOUND, "there is no such kernel");
    }
    if (!found) found.reset(new Function{name, nullptr, nullptr});
    return *function = found.get(), OK;
}
int cuFuncGetAttribute(int* value, int attribute, Function* function) {
    if (attribute != 1) wrong("an unknown attribute of a function");
    return *value = function->declared(), OK;
}
int cuFuncSetAttribute(Function* function, int attribute, int value) {
    Locked locked;
    if (attribute != 8) wrong("another attribute of a function");
    return function->allowed = value, OK;
}
int cuFuncGetParamInfo(Function* function, size_t index, size_t* offset, size_t* size) {
    Locked locked;
    if (!function->kernel) return failure(NOT_SUPPORTED, "a text has no parameters");
    if (index >= function->kernel->parameters) return failure(INVALID, "there is no such parameter");
    *offset = 0;
    for (size_t i = 0; i <= index; i++) {
        *size = function->kernel->sizes[i];
        *offset = (*offset + *size - 1) / *size * *size + (i < index ? *size : 0);
    }
    return OK;
}
}
