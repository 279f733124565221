// NVRTC: programs compiled for the processor by g++, thread by thread, kept beside this library by a hash of
// their text. The product gives a header of PTX instructions, instructions.cuh; the emulator's own takes its place.
#include <dlfcn.h>
#include <fcntl.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>

#include <fstream>
#include <mutex>
#include <string>

#include "gpu.h"

namespace {

enum { OK = 0, COMPILATION = 6 };

constexpr char FLAGS[] =
    "-std=c++20 -O2 -march=native -ffp-contract=off -fno-gnu-unique -fcf-protection=none -fno-strict-aliasing "
    "-shared -fPIC -w";

struct Program {
    std::string text, name, log, image;
};

// The folder of this library, whatever link it was found by.
std::string folder() {
    Dl_info self;
    char path[4096];
    if (!dladdr((void*)&folder, &self) || !realpath(self.dli_fname, path)) return ".";
    return std::string(path).substr(0, std::string(path).rfind('/'));
}

// The table of the kernels a text has, each `KERNEL(bounds) void name(`, and the entry point.
std::string table(const std::string& text) {
    std::string table = "\nextern \"C\" const KernelEntry KERNEL_TABLE[] = {\n";
    const std::string begin = "KERNEL(", middle = ") void ";
    for (size_t at = text.find(begin); at != std::string::npos;) {
        size_t next = text.find(begin, at + 1);
        size_t end = text.find(middle, at);
        if (end < next) {
            size_t name = end + middle.size(), bounds = at + begin.size();
            std::string kernel = text.substr(name, text.find('(', name) - name);
            table += "machine::entry_of<&" + kernel + ">(\"" + kernel + "\", machine::bounds(" +
                     text.substr(bounds, end - bounds) + ")),\n";
        }
        at = next;
    }
    return table + "{}};\nextern \"C\" LaunchKernel* const KERNEL_LAUNCH = machine::launch;\n";
}

uint64_t hash(const std::string& text) {
    uint64_t hash = 0xcbf29ce484222325;
    for (unsigned char byte : text) hash = (hash ^ byte) * 0x100000001b3;
    return hash;
}

// One thread of all processes compiles a text; the others find its outcome.
struct Lock {
    int file;
    explicit Lock(const std::string& path) : file(open(path.c_str(), O_CREAT | O_RDWR | O_CLOEXEC, 0666)) {
        if (file >= 0) flock(file, LOCK_EX);
    }
    ~Lock() {
        if (file >= 0) close(file);
    }
};

int compile(Program* program) {
    std::string all = program->text + table(program->text), here = folder();
    char number[32];
    snprintf(number, sizeof number, "-%016llx", (unsigned long long)hash(all));
    std::string base = here + "/kernels/" + program->name + number, object = base + ".so";
    Lock lock(base + ".lock");
    program->image = SHARED_OBJECT + object;
    if (access(object.c_str(), R_OK) == 0) return OK;
    std::ofstream(base + ".cc") << all;
    std::string command = std::string("g++ ") + FLAGS + " -I '" + here + "/include' -o '" + base + ".new' '" + base +
                          ".cc' 2>&1";
    FILE* output = popen(command.c_str(), "r");
    if (!output) return program->log = "g++ does not start", COMPILATION;
    char line[512];
    while (fgets(line, sizeof line, output)) program->log += line;
    if (pclose(output) || rename((base + ".new").c_str(), object.c_str())) return COMPILATION;
    unlink((base + ".cc").c_str());
    return OK;
}

}  // namespace

extern "C" {

int nvrtcVersion(int* major, int* minor) { return *major = 13, *minor = 0, OK; }
int nvrtcGetNumSupportedArchs(int* count) { return *count = 2, OK; }
int nvrtcGetSupportedArchs(int* archs) { return archs[0] = 80, archs[1] = is("new-gpu") ? 80 : 90, OK; }
int nvrtcCreateProgram(
    Program** program, const char* text, const char* name, int count, const char**, const char** names) {
    if (count != 1 || strcmp(names[0], "instructions.cuh")) wrong("other headers than the instructions");
    std::string file = name;
    *program = new Program{text, file.substr(0, file.rfind('.')), "", ""};
    return OK;
}
int nvrtcCompileProgram(Program* program, int count, const char** options) {
    bool for_computing = false;
    for (int i = 0; i < count; i++) for_computing |= strstr(options[i], COMPUTING_ARCHITECTURE) != nullptr;
    if (computes() && for_computing) return compile(program);
    program->image = program->text;
    return OK;
}
int nvrtcGetProgramLogSize(Program* program, size_t* size) { return *size = program->log.size() + 1, OK; }
int nvrtcGetProgramLog(Program* program, char* log) { return strcpy(log, program->log.c_str()), OK; }
int nvrtcGetCUBINSize(Program* program, size_t* size) { return *size = program->image.size() + 1, OK; }
int nvrtcGetCUBIN(Program* program, char* cubin) { return strcpy(cubin, program->image.c_str()), OK; }
int nvrtcDestroyProgram(Program** program) { return delete *program, OK; }
}
