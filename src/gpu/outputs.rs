//! A network's outputs where burn has put them.

use std::any::Any;

use burn::backend::fusion::get_client;
use burn::backend::wgpu::{CubeBackend, CubeTensor, WgpuResource};
use burn::backend::{BackendTensor, Cube, DispatchKindConversion, DispatchTensor};
use burn::tensor::DType;
use cubecl::wgpu::{AutoCompiler, WgpuServer};
use ocellus_onnx::DeviceTensor;

use super::select::Strides;
use super::{Gpu, GpuError};
use crate::model::heads::Rows;

/// An output of 32-bit floats. As long as it lives its memory is not lent again.
pub(super) struct Output {
    tensor: CubeTensor,
    resource: WgpuResource,
    /// Keeps the memory where it is.
    _held: Box<dyn Any>,
}

impl Output {
    /// Finds the tensor's memory, when all work on it has been handed to the runtime. None where it is something
    /// that our shaders can't read: no 32-bit floats, or rearranged.
    pub fn find(gpu: &Gpu, tensor: &DeviceTensor) -> Result<Option<Self>, GpuError> {
        let tensor = DispatchTensor::from(tensor.clone());
        let Ok(BackendTensor::Float(tensor)) =
            <DispatchTensor as DispatchKindConversion<Cube>>::try_into_backend(tensor)
        else {
            return Ok(None);
        };
        let tensor = get_client::<CubeBackend>(&gpu.shared.cube).resolve_tensor_float::<CubeBackend>(tensor);
        if tensor.dtype != DType::F32 || tensor.meta.is_tiled() || tensor.qparams.is_some() {
            return Ok(None);
        }
        let held = gpu
            .client()
            .get_resource::<WgpuServer<AutoCompiler>>(tensor.handle.clone())
            .map_err(|e| GpuError::from_server(gpu.name(), &e))?;
        let alignment = u64::from(gpu.shared.device.limits().min_storage_buffer_offset_alignment);
        let resource = held.resource().clone();
        let usable = resource.offset.is_multiple_of(alignment);
        Ok(usable.then(|| Self { tensor, resource, _held: Box::new(held) }))
    }

    /// The values, one after the other; none where they lie otherwise.
    pub fn contiguous(&self) -> Option<(&wgpu::Buffer, u64, u64)> {
        let bytes = self.tensor.meta.shape().num_elements() as u64 * 4;
        let whole = self.tensor.is_contiguous() && self.resource.size >= bytes;
        whole.then_some((&self.resource.buffer, self.resource.offset, bytes))
    }

    pub fn binding(&self) -> wgpu::BindingResource<'_> {
        self.resource.as_wgpu_bind_resource()
    }

    /// How it lies as `[items, rows, columns]` or the transposed of it; none where it has another shape.
    pub fn strides(&self, rows: &Rows, items: usize) -> Option<Strides> {
        let (shape, strides) = (self.tensor.meta.shape(), self.tensor.meta.strides());
        let inner = if rows.transposed { [rows.columns, rows.rows] } else { [rows.rows, rows.columns] };
        let (item, [first, second]) = match (shape.as_slice(), strides.as_ref()) {
            ([n, a, b], &[item, first, second]) if *n == items && [*a, *b] == inner => (item, [first, second]),
            ([a, b], &[first, second]) if items == 1 && [*a, *b] == inner => (0, [first, second]),
            _ => return None,
        };
        let (row, column) = if rows.transposed { (second, first) } else { (first, second) };
        Some(Strides { item, row, column })
    }
}
