// Types, and the instructions that C++ has no words for: the header of every text, beside which all is plain C++ with
// CUDA's builtins.

typedef unsigned char u8;
typedef unsigned short u16;
typedef unsigned int u32;
typedef unsigned long long u64;
typedef long long i64;

// A kernel of blocks of at most THREADS threads.
// KERNEL(threads of a block at most, blocks that a multiprocessor must hold at once: 1 where none are named)
#define KERNEL(...) extern "C" __global__ __launch_bounds__(__VA_ARGS__)

// The shared memory a launch asks for.
#define DYNAMIC_SHARED(name) extern __shared__ __align__(128) unsigned char name[]

// Memory at an address as a T, which begins at a multiple of its bytes.
template <class T>
__device__ __forceinline__ T& access(void* at) { return *reinterpret_cast<T*>(at); }

// Half precision → single, exact.
__device__ __forceinline__ float f16_to_f32(u16 bits) {
    float x;
    asm("cvt.f32.f16 %0, %1;" : "=f"(x) : "h"(bits));
    return x;
}

// Single → half precision, to nearest, ties to even.
__device__ __forceinline__ u16 f32_to_f16(float x) {
    u16 bits;
    asm("cvt.rn.f16.f32 %0, %1;" : "=h"(bits) : "f"(x));
    return bits;
}

// Single → bf16, to nearest, ties to even.
__device__ __forceinline__ u16 f32_to_bf16(float x) {
    u16 bits;
    asm("cvt.rn.bf16.f32 %0, %1;" : "=h"(bits) : "f"(x));
    return bits;
}

// Two f32 → two half-precision numbers in one word.
__device__ __forceinline__ u32 pack_half(float low, float high) {
    u32 word;
#ifdef HALF_IS_BF16
    asm("cvt.rn.bf16x2.f32 %0, %1, %2;" : "=r"(word) : "f"(high), "f"(low));
#else
    asm("cvt.rn.f16x2.f32 %0, %1, %2;" : "=r"(word) : "f"(high), "f"(low));
#endif
    return word;
}

// 2^x within 2 units, subnormal results flushed to 0; 0 for -infinity.
__device__ __forceinline__ float exp2_fast(float x) {
    float y;
    asm("ex2.approx.ftz.f32 %0, %1;" : "=f"(y) : "f"(x));
    return y;
}

// d += a · b, a 16 × 16 by rows, b 16 × 8 by columns, half-precision numbers; by the 32 lanes of a warp.
// Lane 4g + t holds: a (g, 2t) (g+8, 2t) (g, 2t+8) (g+8, 2t+8), b (2t, g) (2t+8, g), two neighbors each;
// d (g, 2t) (g, 2t+1) (g+8, 2t) (g+8, 2t+1).
__device__ __forceinline__ void multiply_add_16x8x16(float (&d)[4], const u32 (&a)[4], u32 b0, u32 b1) {
#ifdef HALF_IS_BF16
    asm volatile(
        "mma.sync.aligned.m16n8k16.row.col.f32.bf16.bf16.f32 {%0,%1,%2,%3}, {%4,%5,%6,%7}, {%8,%9}, {%0,%1,%2,%3};"
#else
    asm volatile(
        "mma.sync.aligned.m16n8k16.row.col.f32.f16.f16.f32 {%0,%1,%2,%3}, {%4,%5,%6,%7}, {%8,%9}, {%0,%1,%2,%3};"
#endif
        : "+f"(d[0]), "+f"(d[1]), "+f"(d[2]), "+f"(d[3])
        : "r"(a[0]), "r"(a[1]), "r"(a[2]), "r"(a[3]), "r"(b0), "r"(b1));
}

// A single → the nearest number of TF32, which has ten bits of mantissa; ties away from zero.
__device__ __forceinline__ float round_to_tf32(float x) {
    u32 bits;
    asm("cvt.rna.tf32.f32 %0, %1;" : "=r"(bits) : "f"(x));
    return __uint_as_float(bits);
}

// d += a · b, a 16 × 8 by rows, b 8 × 8 by columns, numbers of TF32; by the 32 lanes of a warp.
// Lane 4g + t holds: a (g, t) (g+8, t) (g, t+4) (g+8, t+4), b (t, g) (t+4, g); d as above.
__device__ __forceinline__ void multiply_add_16x8x8(float (&d)[4], const float (&a)[4], const float (&b)[2]) {
    asm volatile(
        "mma.sync.aligned.m16n8k8.row.col.f32.tf32.tf32.f32 {%0,%1,%2,%3}, {%4,%5,%6,%7}, {%8,%9}, {%0,%1,%2,%3};"
        : "+f"(d[0]), "+f"(d[1]), "+f"(d[2]), "+f"(d[3])
        : "r"(__float_as_uint(a[0])), "r"(__float_as_uint(a[1])), "r"(__float_as_uint(a[2])),
          "r"(__float_as_uint(a[3])), "r"(__float_as_uint(b[0])), "r"(__float_as_uint(b[1])));
}

// Four 8 × 8 matrices of half-precision numbers from shared memory; lane 8i + r gives row r of matrix i. Lane 4g + t
// gets (g, 2t) and (g, 2t+1) of each.
__device__ __forceinline__ void load_matrices(u32 (&out)[4], const void* row) {
    u32 address = (u32)__cvta_generic_to_shared(row);
    asm volatile("ldmatrix.sync.aligned.m8n8.x4.shared.b16 {%0,%1,%2,%3}, [%4];"
                 : "=r"(out[0]), "=r"(out[1]), "=r"(out[2]), "=r"(out[3])
                 : "r"(address)
                 : "memory");
}

// The same, transposed: lane 4g + t gets (2t, g) and (2t+1, g) of each.
__device__ __forceinline__ void load_matrices_transposed(u32 (&out)[4], const void* row) {
    u32 address = (u32)__cvta_generic_to_shared(row);
    asm volatile("ldmatrix.sync.aligned.m8n8.x4.trans.shared.b16 {%0,%1,%2,%3}, [%4];"
                 : "=r"(out[0]), "=r"(out[1]), "=r"(out[2]), "=r"(out[3])
                 : "r"(address)
                 : "memory");
}

// Begins a copy of 16 bytes to shared memory, of zeros unless `valid`; both addresses are multiples of 16.
__device__ __forceinline__ void copy_16_async(void* to, const void* from, bool valid) {
    u32 address = (u32)__cvta_generic_to_shared(to);
    int bytes = valid ? 16 : 0;
    asm volatile("cp.async.cg.shared.global [%0], [%1], 16, %2;" ::"r"(address), "l"(from), "r"(bytes) : "memory");
}

// Ends a group of copies.
__device__ __forceinline__ void commit_copies() {
    asm volatile("cp.async.commit_group;" ::: "memory");
}

// Waits until at most LEFT of this thread's groups are under way.
template <int LEFT>
__device__ __forceinline__ void wait_for_copies() {
    asm volatile("cp.async.wait_group %0;" ::"n"(LEFT) : "memory");
}
