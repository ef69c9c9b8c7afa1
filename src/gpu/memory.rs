//! Memory that burn owns and our shaders write.

use burn::backend::fusion::{NoOp, get_client};
use burn::backend::ir::{BackendIr, InitOperationIr, OperationIr};
use burn::backend::wgpu::{CubeBackend, CubeTensor, WgpuResource};
use burn::backend::{BackendTensor, Cube, DispatchKindConversion, DispatchTensor};
use burn::tensor::{DType, Shape, StreamId};
use cubecl::server::Handle;
use cubecl::wgpu::{AutoCompiler, WgpuServer};

use super::{Gpu, GpuError};

/// A tensor of 32-bit floats in burn's pool, filled by `write`, which must have submitted its work when it returns.
///
/// The pool lends memory whose last use may still wait in burn's own command encoder. That is submitted first, so
/// that what `write` submits comes after it.
pub(super) fn filled(
    gpu: &Gpu,
    shape: Shape,
    write: impl FnOnce(&WgpuResource) -> Result<(), GpuError>,
) -> Result<DispatchTensor, GpuError> {
    let failed = |e| GpuError::from_server(gpu.name(), &e);
    let client = gpu.client();
    let handle = client.empty(shape.num_elements() * size_of::<f32>());
    // Keeps the memory where it is while it is written; burn may later write in place what it alone refers to.
    let held = client.get_resource::<WgpuServer<AutoCompiler>>(handle.clone()).map_err(failed)?;
    client.flush().map_err(failed)?;
    write(held.resource())?;
    drop(held);
    handed_over(gpu, shape, handle)
}

/// Makes burn's fusion know the memory as a tensor that is there already.
fn handed_over(gpu: &Gpu, shape: Shape, handle: Handle) -> Result<DispatchTensor, GpuError> {
    let cube = gpu.shared.cube.clone();
    let tensor = CubeTensor::new_contiguous(gpu.client(), cube.clone(), shape.clone(), handle, DType::F32);
    let fusion = get_client::<CubeBackend>(&cube);
    let init = InitOperationIr::create(shape, DType::F32, || {
        fusion.register_tensor_handle(CubeBackend::float_tensor_handle(tensor))
    });
    let mut made = fusion.register(StreamId::current(), OperationIr::Init(init), NoOp::<CubeBackend>::new());
    let tensor = made.pop().ok_or_else(|| GpuError::Failed {
        name: gpu.name().to_owned(),
        reason: "burn made no tensor of the input".to_owned(),
    })?;
    Ok(<DispatchTensor as DispatchKindConversion<Cube>>::from_backend(BackendTensor::Float(tensor)))
}
