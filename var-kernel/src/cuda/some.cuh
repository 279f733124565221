// WIDTH neighboring numbers.
template <int WIDTH>
struct Some {
    float at[WIDTH];
};

template <int WIDTH>
__device__ __forceinline__ Some<WIDTH> load_some(const float* from) {
    Some<WIDTH> some;
    if constexpr (WIDTH == 4) {
        float4 four = *reinterpret_cast<const float4*>(from);
        some.at[0] = four.x, some.at[1] = four.y, some.at[2] = four.z, some.at[3] = four.w;
    } else {
        some.at[0] = *from;
    }
    return some;
}

__device__ __forceinline__ void store_some(float* to, Some<4> some) {
    *reinterpret_cast<float4*>(to) = make_float4(some.at[0], some.at[1], some.at[2], some.at[3]);
}
__device__ __forceinline__ void store_some(Half* to, Some<4> some) {
    uint2 words = {pack_half(some.at[0], some.at[1]), pack_half(some.at[2], some.at[3])};
    *reinterpret_cast<uint2*>(to) = words;
}
template <class Out>
__device__ __forceinline__ void store_some(Out* to, Some<1> some) { store(to, some.at[0]); }
