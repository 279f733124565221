//! temporary
use super::{Attention, Dims, Mask};
use crate::cpu::Cpu;
use core::convert::Infallible;
impl Attention for Cpu<'_> {
    fn attention(
        &self,
        out: &mut [f32],
        q: &[f32],
        k: &[f32],
        v: &[f32],
        scale: f32,
        mask: Mask<'_>,
        d: Dims,
    ) -> Result<(), Infallible> {
        d.check(out.len(), q.len(), k.len(), v.len(), mask);
        let w = d.heads * d.head_width;
        let mut p = [0f64; 4096];
        for b in 0..d.batch {
            for i in 0..d.queries {
                for h in 0..d.heads {
                    let n = mask.visible(i, d.keys);
                    let q = &q[(b * d.queries + i) * w + h * d.head_width..][..d.head_width];
                    let mut top = f64::NEG_INFINITY;
                    for j in 0..n {
                        let k = &k[(b * d.capacity + j) * w + h * d.head_width..][..d.head_width];
                        p[j] = q.iter().zip(k).map(|(a, b)| (a * b) as f64).sum::<f64>()
                            * scale as f64;
                        top = top.max(p[j]);
                    }
                    let mut sum = 0.0;
                    for j in 0..n {
                        p[j] = libm::exp(p[j] - top);
                        sum += p[j];
                    }
                    let o = &mut out[(b * d.queries + i) * w + h * d.head_width..][..d.head_width];
                    for c in 0..d.head_width {
                        let mut s = 0.0;
                        for j in 0..n {
                            s += p[j] * v[(b * d.capacity + j) * w + h * d.head_width + c] as f64;
                        }
                        o[c] = (s / sum) as f32;
                    }
                }
            }
        }
        Ok(())
    }
}
